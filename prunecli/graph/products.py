"""The multiply-accumulates of a trace, operation by operation, and the axes that each runs through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prunecli.graph.labels import Axis, fixed
from prunecli.graph.rules.recurrent import OPERATIONS, cells_of

if TYPE_CHECKING:
    from prunecli.graph.channel_graph import ChannelGraph
    from prunecli.graph.tracing import Operation, TensorRef

# Matrix products: which arguments are multiplied.
_PRODUCTS = {"aten.mm": (0, 1), "aten.bmm": (0, 1), "aten.addmm": (1, 2), "aten.baddbmm": (1, 2)}

_AxesOf = Callable[["TensorRef"], Sequence[Axis]]


def counted_products(
    operations: Iterable[Operation], axes_of: _AxesOf
) -> Iterator[tuple[Operation, list[tuple[int, Sequence[Axis]]]]]:
    """The convolutions, matrix products and recurrent layers: MACs, and the axes that these run through."""
    for operation in operations:
        if operation.name == "aten.convolution":
            read, weight = operation.args[:2]
            transposed = operation.args[6]  # it spreads every position of its input
            positions = (read if transposed else operation.outputs[0]).shape
            spread = positions[0] * math.prod(positions[2:])
            yield operation, [(math.prod(weight.shape) * spread, axes_of(weight))]
        elif operation.name in _PRODUCTS:
            left, right = (operation.args[i] for i in _PRODUCTS[operation.name])
            contracted = next(
                (axis for axis in (axes_of(left)[-1], axes_of(right)[-2]) if axis.any()), fixed(0)
            )
            made = operation.outputs[0]
            yield operation, [(math.prod(made.shape) * left.shape[-1], [*axes_of(made), contracted])]
        elif operation.name in OPERATIONS:
            steps = math.prod(operation.args[0].shape[:2])
            matrices = [w for cell in cells_of(operation) for w in (cell.read, cell.again, cell.project) if w]
            yield operation, [(math.prod(each.shape) * steps, axes_of(each)) for each in matrices]


def axes_finder(graph: ChannelGraph) -> _AxesOf:
    """The axes of the tensors of the first trace, fixed ones where they are not known."""
    made = {
        operation.outputs[0].number: graph.propagation.outputs[0][operation.index]
        for operation in graph.traces[0].operations
        if operation.outputs
    }
    made.update(graph.propagation.later[0])

    def axes(ref: TensorRef) -> Sequence[Axis]:
        if ref.name is not None:
            return [graph.origins.get((ref.name, d), fixed(size)) for d, size in enumerate(ref.shape)]
        return made.get(ref.number) or [fixed(size) for size in ref.shape]

    return axes
