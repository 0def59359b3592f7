"""Normalisations: per channel, over channels, over groups of channels, and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import fixed, is_fixed, merge
from prunecli.graph.rules.contract import STATISTICS, Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef

WHY = "normalised with a fixed dimension"


@coupling_rule(
    "aten.native_batch_norm",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_no_training",
    "aten._native_batch_norm_legit_functional",
    "aten._batch_norm_with_update",
    "aten._batch_norm_no_update",
    "aten.batch_norm",
    "aten.instance_norm",
)
def batch_norm(operation: Operation, flow: Flow) -> None:
    """Scale, shift and statistics (C,) leave with the channels of x (N, C, …)."""
    x, *constants = operation.tensors()
    axes = flow.axes(x)
    for constant in constants:
        flow.follow(constant, 0, axes[1], WHY)
    for d, axis in enumerate(axes):
        if d != 1 and not is_fixed(axis):  # a standardised weight: statistics over its input channels
            flow.contract(x, d, STATISTICS)
    flow.assign(operation.outputs[0], axes)
    for saved in operation.outputs[1:]:
        per_channel = saved.shape == (x.shape[1],)
        flow.assign(saved, [axes[1]] if per_channel else [fixed(size) for size in saved.shape])


@coupling_rule("aten.native_layer_norm", "aten._fused_rms_norm", "aten.rms_norm")
def layer_norm(operation: Operation, flow: Flow) -> None:
    """Statistics over the last dimensions; scale and shift leave with them."""
    x, *constants = operation.tensors()
    axes = flow.axes(x)
    count = len(operation.args[1])
    for constant in constants:
        for d in range(-count, 0):
            flow.follow(constant, d, axes[d], WHY)
    for d in range(-count, 0):
        flow.contract(x, len(axes) + d, STATISTICS)
        flow.literal((1, count + d), axes[d])
    flow.assign(operation.outputs[0], axes)
    for saved in operation.outputs[1:]:
        flow.assign(saved, [fixed(size) for size in saved.shape])


@coupling_rule("aten.native_group_norm", "aten.group_norm")
def group_norm(operation: Operation, flow: Flow) -> None:
    """Channels are groups × slots, statistics over a group's slots: a group or a slot of all may go."""
    x, *constants = operation.tensors()
    axes = list(flow.axes(x))
    native = operation.name == "aten.native_group_norm"
    groups = operation.args[6] if native else operation.args[1]
    parts = flow.space.split(axes[1], (groups, x.shape[1] // groups))
    for constant in constants:
        flow.follow(constant, 0, axes[1], WHY)
    flow.literal((6,) if native else (1,), parts[0])
    if native:
        flow.literal((4,), axes[1])
    flow.contract(x, 1, STATISTICS)
    flow.assign(operation.outputs[0], [axes[0], merge(parts) if groups > 1 else axes[1], *axes[2:]])
    for saved in operation.outputs[1:]:
        flow.assign(saved, [fixed(size) for size in saved.shape])


@coupling_rule("aten._weight_norm_interface")
def weight_norm(operation: Operation, flow: Flow) -> None:
    """Directions over their length: statistics over all dimensions but one, which the lengths have too."""
    direction, length = operation.tensors()
    dim = operation.args[2] if len(operation.args) > 2 else 0
    axes = flow.axes(direction)
    for d, (axis, other) in enumerate(zip(axes, flow.axes(length), strict=False)):
        if d != dim:
            flow.contract(direction, d, STATISTICS)
        else:
            flow.space.tie(axis, other, WHY)
    weight, norms = operation.outputs
    flow.assign(weight, axes)
    flow.assign(norms, flow.axes(length))


@coupling_rule("aten._softmax", "aten._log_softmax", "aten.softmax", "aten.log_softmax", "aten._safe_softmax")
def softmax(operation: Operation, flow: Flow) -> None:
    """Normalised over one dimension; every axis passes through."""
    x: TensorRef = operation.args[0]
    flow.contract(x, operation.args[1] % len(x.shape), STATISTICS)
    flow.assign(operation.outputs[0], flow.axes(x))
