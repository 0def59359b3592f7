"""Reductions: dimensions that are summed over or enter statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunecli.graph.labels import Axis, fixed
from prunecli.graph.rules.contract import STATISTICS, SUM, Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef

REDUCTIONS = """
    all amax amin aminmax any argmax argmin count_nonzero linalg_vector_norm logsumexp max mean median min
    norm prod std std_mean sum var var_mean
"""


@coupling_rule(*(f"aten.{name}" for name in REDUCTIONS.split()))
def reduction(operation: Operation, flow: Flow) -> None:
    """The reduced dimensions vanish, or stay with size one."""
    inputs = operation.tensors()
    x = inputs[0]
    axes = flow.axes(x)
    dims = _dims(operation, len(axes))
    how = SUM if operation.name == "aten.sum" else STATISTICS
    for d in dims:
        flow.contract(x, d, how)
    for output in operation.outputs:
        kept: list[Axis]
        if len(output.shape) == len(axes):
            kept = [fixed(1) if d in dims else axis for d, axis in enumerate(axes)]
        else:
            kept = [axis for d, axis in enumerate(axes) if d not in dims]
        flow.assign(output, kept)


def _dims(operation: Operation, rank: int) -> set[int]:
    # linalg_vector_norm(x, ord, dim) and norm(x, p, dim) carry the dimensions one place later
    place = 2 if operation.name in {"aten.linalg_vector_norm", "aten.norm"} else 1
    chosen: Any = operation.args[place] if len(operation.args) > place else operation.kwargs.get("dim")
    if chosen is None or chosen == []:
        return set(range(rank))
    return {d % rank for d in ([chosen] if isinstance(chosen, int) else chosen)} if rank else set()


@coupling_rule("aten.cumsum", "aten.cumprod", "aten.sort", "aten.argsort", "aten.topk")
def along_one_dimension(operation: Operation, flow: Flow) -> None:
    """Order matters along one dimension, which stays; the others pass."""
    x: TensorRef = operation.args[0]
    place = 2 if operation.name == "aten.topk" else 1
    dim = operation.args[place] if len(operation.args) > place else -1
    flow.protect(x, f"ordered along this dimension in {operation.name}", [dim % len(x.shape)])
    for output in operation.outputs:
        axes = list(flow.axes(x))
        axes[dim] = fixed(output.shape[dim])
        flow.assign(output, axes)
