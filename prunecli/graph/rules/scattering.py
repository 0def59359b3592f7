"""Adding what stands at some positions to a tensor that has more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation


@coupling_rule("aten.index_add")
def index_add(operation: Operation, flow: Flow) -> None:
    """x[…, index[i], …] += source[…, i, …]: entry i of the index leaves with position i of the source.

    The positions of `x` are named by the index and stay; a position that leaves the source adds nothing.
    """
    x, dim, index, source = operation.args[:4]
    dim %= len(x.shape)
    axes = list(flow.axes(x))
    for d, (axis, added) in enumerate(zip(axes, flow.axes(source), strict=True)):
        if d != dim:
            flow.space.tie(axis, added, f"meets a fixed dimension in {operation.name}")
    flow.protect(x, "other channels are scattered into them", [dim])
    entries = flow.axes(index)
    if entries:  # an index of one number has no dimension
        flow.space.tie(flow.axes(source)[dim], entries[0], "the index that scatters it is fixed")
    else:
        flow.protect(source, "the index that scatters it is fixed", [dim])
    flow.contract(source, dim)
    flow.assign(operation.outputs[0], axes)
