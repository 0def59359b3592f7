"""Weights that a forward pass computes from parameters: standardised, parametrised, rearranged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from prunecli.graph.labels import Axis
from prunecli.graph.propagation import Propagation
from prunecli.graph.tracing import Operation, TensorRef, Trace

Used = tuple[int, str | None]  # the axis of a parameter that counts filters, and the name of the bias

PRODUCTS = frozenset({"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm"})
CONVOLUTION = "aten.convolution"


def computed_weights(traces: Sequence[Trace], propagation: Propagation) -> dict[str, Used]:
    """Parameters from which the weight of a convolution or product is computed, element by element."""
    found: dict[str, Used] = {}
    for number, (trace, made) in enumerate(zip(traces, propagation.outputs, strict=True)):
        if number and made is propagation.outputs[0]:  # training runs the same operations
            continue
        fed = {ref.number for ref in trace.inputs}
        sources: dict[int, tuple[TensorRef, ...]] = {}  # of what depends on parameters alone
        for operation in trace.operations:
            tensors = operation.tensors()
            if any(ref.number in fed for ref in tensors):
                for weight, dim, bias in _weights(operation):
                    filters = made[operation.index][dim]
                    for source in sources.get(weight.number, ()):
                        axis = _axis_of(source, weight, filters, propagation)
                        if axis is not None:
                            found.setdefault(source.name or "", (axis, bias))
                fed.update(ref.number for ref in operation.outputs)
            elif operation.name not in PRODUCTS and operation.name != CONVOLUTION:
                begun = [(ref,) if ref.name else sources.get(ref.number, ()) for ref in tensors]
                several = tuple(dict.fromkeys(ref for refs in begun for ref in refs))
                sources.update((ref.number, several) for ref in operation.outputs)
    return found


def _weights(operation: Operation) -> Iterator[tuple[TensorRef, int, str | None]]:
    """What may be the weight of an operation, where its output has the filters, and the name of the bias."""
    tensors = operation.tensors()
    if operation.name == CONVOLUTION:
        yield tensors[1], 1, tensors[2].name if len(tensors) > 2 else None
    elif operation.name in PRODUCTS:
        bias = tensors[0].name if len(tensors) > 2 else None
        yield tensors[-2], -2, bias
        yield tensors[-1], -1, bias


def _axis_of(source: TensorRef, weight: TensorRef, filters: Axis, propagation: Propagation) -> int | None:
    """The axis of a parameter that leaves with the filters; None where it is not as large as the weight."""
    if np.prod(source.shape) != np.prod(weight.shape) or len(source.shape) < 2:
        return None
    labels = filters[filters > 0]
    for axis in range(len(source.shape)):
        own = propagation.origins.get((source.name or "", axis))
        if own is not None and np.isin(own, labels).any():
            return axis
    return None
