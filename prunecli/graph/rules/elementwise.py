"""Element-wise operators: what meets at a position leaves together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import fixed
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation

POINTWISE = """
    _to_copy abs add addcdiv addcmul alias atan bernoulli bitwise_and bitwise_not bitwise_or ceil celu
    clamp clamp_max clamp_min clone contiguous copy copysign cos deg2rad detach div dropout elu
    empty_like eq erf erfc exp expm1 exponential fake_quantize_per_tensor_affine fill floor floor_divide
    fmod full_like ge gelu gt hardshrink hardsigmoid hardswish hardtanh hypot isnan le leaky_relu lerp
    lift_fresh lift_fresh_copy log log10 log1p log2 log_sigmoid_forward logaddexp logical_and
    logical_not logical_or lt masked_fill maximum minimum mish mul nan_to_num native_dropout ne neg
    normal ones_like positive pow rad2deg rand_like randn_like random reciprocal relu relu6 remainder
    round rrelu_with_noise rsqrt rsub selu sgn sigmoid sign silu sin sinc softplus softshrink
    special_expit sqrt square sub tan tanh threshold to true_divide trunc uniform where xlogy zero
    zeros_like
"""


@coupling_rule(*(f"aten.{name}" for name in POINTWISE.split()), "prims.convert_element_type")
def pointwise(operation: Operation, flow: Flow) -> None:
    """Unite the inputs' axes dimension by dimension; a size of one is broadcast and ties nothing."""
    inputs = operation.tensors()
    for output in operation.outputs:
        axes = []
        for d in range(-len(output.shape), 0):
            size = output.shape[d]
            meeting = [flow.axes(ref)[d] for ref in inputs if len(ref.shape) >= -d and ref.shape[d] == size]
            for other in meeting[1:]:
                flow.space.tie(meeting[0], other, f"meets a fixed dimension in {operation.name}")
            axes.append(meeting[0] if meeting else fixed(size))
        flow.assign(output, axes)


@coupling_rule("aten._prelu_kernel", "aten.prelu")
def prelu(operation: Operation, flow: Flow) -> None:
    """One slope a channel (dimension 1), or one slope for all."""
    x, slope = operation.tensors()[:2]
    axes = flow.axes(x)
    slope_axes = flow.axes(slope)
    if len(slope.shape) == 1 and slope.shape[0] > 1:
        flow.space.tie(axes[1], slope_axes[0], "meets a fixed dimension in prelu")
        flow.assign(operation.outputs[0], axes)
    else:
        pointwise(operation, flow)


@coupling_rule("aten.glu")
def gated_linear_unit(operation: Operation, flow: Flow) -> None:
    """The first half of a dimension gated by the second: slot i of both halves leaves together."""
    (x,) = operation.tensors()
    dim = operation.args[1] if len(operation.args) > 1 else -1
    axes = list(flow.axes(x))
    _, slots = flow.space.split(axes[dim], (2, x.shape[dim] // 2))
    axes[dim] = slots
    flow.assign(operation.outputs[0], axes)
