"""Indexing, embedding and made tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import fixed
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation


@coupling_rule("aten.embedding")
def embedding(operation: Operation, flow: Flow) -> None:
    """Weight (V, E), indices (…) → (…, E): the entries stay, the width passes."""
    weight, indices = operation.args[:2]
    flow.protect(weight, "an entry of an embedding", [0])
    flow.assign(operation.outputs[0], [*flow.axes(indices), flow.axes(weight)[1]])


@coupling_rule("aten.index_select")
def index_select(operation: Operation, flow: Flow) -> None:
    """Positions picked by an index tensor: that dimension stays, the others pass."""
    x, dim = operation.args[:2]
    axes = list(flow.axes(x))
    flow.protect(x, "picked by an index", [dim % len(axes)])
    axes[dim] = fixed(operation.outputs[0].shape[dim])
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.index", "aten._unsafe_index")
def index(operation: Operation, flow: Flow) -> None:
    """x[…, i, …] with index tensors: indexed dimensions stay, the untouched ones after them pass."""
    x, picks = operation.args[:2]
    axes = flow.axes(x)
    picked = [d for d, pick in enumerate(picks) if pick is not None]
    flow.protect(x, "picked by an index", picked)
    output = operation.outputs[0]
    after = axes[picked[-1] + 1 :] if picked else axes
    adjacent = picked == list(range(picked[0], picked[-1] + 1)) if picked else True
    before = axes[: picked[0]] if picked and adjacent else []
    middle = output.shape[len(before) : len(output.shape) - len(after)]
    if not adjacent:
        flow.protect(x, "picked by an index")
        flow.assign(output, [fixed(size) for size in output.shape])
        return
    flow.assign(output, [*before, *(fixed(size) for size in middle), *after])


UNIFORM = "empty empty_strided full new_empty new_empty_strided new_full new_ones new_zeros ones zeros"


@coupling_rule(*(f"aten.{name}" for name in UNIFORM.split()))
def uniform_tensor(operation: Operation, flow: Flow) -> None:
    """A tensor made with one value everywhere: any number of its positions may be kept."""
    output = operation.outputs[0]
    place = 1 if operation.name.startswith("aten.new_") else 0
    axes = [flow.space.fresh(size) for size in output.shape]
    for d, axis in enumerate(axes):
        flow.literal((place, d), axis)
    flow.assign(output, axes)


@coupling_rule("aten.arange", "aten.linspace", "aten.eye", "aten.scalar_tensor", "aten.rand", "aten.randn",
               "aten.randperm", "aten.randint", "aten._local_scalar_dense", "aten.hann_window")  # fmt: skip
def position_dependent_tensor(operation: Operation, flow: Flow) -> None:
    """A tensor whose values depend on the position: every position stays."""
    for output in operation.outputs:
        flow.assign(output, [fixed(size) for size in output.shape])
