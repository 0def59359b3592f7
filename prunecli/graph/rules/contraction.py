"""Products that sum over a dimension: matrix products and attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import fixed
from prunecli.graph.rules.contract import STATISTICS, Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef

WHY = "summed with a fixed dimension in a matrix product"


def _product(left: TensorRef, right: TensorRef, output: TensorRef, flow: Flow) -> None:
    """(…, M, K) × (…, K, N) → (…, M, N); a matrix times a vector drops N."""
    a, inner = flow.axes(left), -2 if len(right.shape) > 1 else -1
    flow.follow(right, inner, a[-1], WHY)
    b = flow.axes(right)
    flow.contract(left, len(a) - 1)
    flow.contract(right, len(b) + inner)
    batch = []
    for one, other in zip(a[:-2], b[:-2], strict=True) if len(a) > 2 else []:
        flow.space.tie(one, other, "meets a fixed batch dimension in a matrix product")
        batch.append(one)
    flow.assign(output, [*batch, *a[-2:-1], *b[-1:]] if len(b) > 1 else a[:-1])


@coupling_rule("aten.mm", "aten.bmm", "aten.mv", "aten.dot", "aten.vdot")
def matrix_product(operation: Operation, flow: Flow) -> None:
    """The inner dimensions leave together; rows come from the left, columns from the right."""
    left, right = operation.tensors()
    _product(left, right, operation.outputs[0], flow)


@coupling_rule("aten.addmm", "aten.baddbmm", "aten.addmv", "aten._addmm_activation")
def matrix_product_with_bias(operation: Operation, flow: Flow) -> None:
    """A matrix product plus a broadcast bias."""
    bias, left, right = operation.tensors()
    output = operation.outputs[0]
    _product(left, right, output, flow)
    axes = flow.axes(output)
    for d in range(-len(bias.shape), 0):
        if bias.shape[d] == output.shape[d]:
            flow.follow(bias, d, axes[d], "the bias of a fixed dimension")


@coupling_rule(
    "aten.scaled_dot_product_attention",
    "aten._scaled_dot_product_attention_math",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_attention_math_for_mps",
    "aten._scaled_dot_product_fused_attention_overrideable",
)
def attention(operation: Operation, flow: Flow) -> None:
    """Queries meet keys along the width, weights meet values along the tokens.

    q (B, H, L, E), k (B, H, S, E), v (B, H, S, V) → (B, H, L, V). Without a stated scale the operator
    divides by √E: dropping a column of E would change the function, so E is protected then.
    """
    q, k, v = operation.tensors()[:3]
    q_axes, k_axes, v_axes = flow.axes(q), flow.axes(k), flow.axes(v)
    for one, two, three in zip(q_axes[:-2], k_axes[:-2], v_axes[:-2], strict=True):
        flow.space.tie(one, two, "attention over a fixed dimension")
        flow.space.tie(one, three, "attention over a fixed dimension")
    flow.space.tie(q_axes[-1], k_axes[-1], "attention over a fixed dimension")
    flow.space.tie(k_axes[-2], v_axes[-2], "attention over a fixed dimension")
    if operation.kwargs.get("scale") is None:
        flow.protect(q, "attention scales by 1/sqrt(width)", [len(q.shape) - 1])
    flow.contract(q, len(q.shape) - 1)
    flow.contract(k, len(k.shape) - 2, STATISTICS)
    for other in operation.outputs[1:]:
        flow.assign(other, [fixed(size) for size in other.shape])
    flow.assign(operation.outputs[0], [*q_axes[:-1], v_axes[-1]])
