"""The operations of a network with their shapes, whole and after channels have left: nothing is cut for it.

A dimension keeps as many of its positions as its axis does. Where a batch is merged with it, the axis is that
of the batch of the trace, and the share that stays is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis, kept_count
from prunecli.graph.products import axes_finder
from prunecli.graph.tracing import Operation, TensorRef, record

Keep = Callable[[int, Axis], int]
"""How much of a size stays of a dimension that has an axis."""


@dataclass(frozen=True)
class Spread:
    """A tensor that an operation reads: shape, dimensions from the slowest to the fastest, type."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    repeated: tuple[int, ...]  # dimensions along which it is one value again and again
    dtype: str

    def __str__(self) -> str:
        shown = "x".join(map(str, self.shape)) or "number"
        straight = self.order == tuple(range(len(self.shape)))
        order = "" if straight else "@" + ".".join(map(str, self.order))
        repeated = "*" + ".".join(map(str, self.repeated)) if self.repeated else ""
        return f"{self.dtype}[{shown}{order}{repeated}]"


@dataclass(frozen=True)
class Piece:
    """One operation at the shapes at which it runs; pieces of equal `key` take the same time."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    key: str


def piece_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Piece:
    """An operation by the name of its packet, "aten.mm", with arguments in which tensors are `Spread`s."""
    kwargs = kwargs or {}
    given = [*map(_text, args), *(f"{name}={_text(each)}" for name, each in kwargs.items())]
    return Piece(name, args, kwargs, f"{name}({', '.join(given)})")


@dataclass(frozen=True)
class Step:
    """An operation of the network: where it stands, and what is known of its arguments and its result."""

    place: str
    operation: Operation
    axes: tuple[Sequence[Axis], ...]  # of its tensors, in order
    literals: tuple[tuple[tuple[int | str, ...], Axis], ...]
    made: Sequence[Axis]

    def piece(self, keep: Keep) -> Piece:
        """The operation with what `keep` leaves of its shapes."""
        axes = iter(self.axes)
        counts = dict(self.literals)
        args = tuple(
            _kept(each, (place,), axes=axes, counts=counts, keep=keep)
            for place, each in enumerate(self.operation.args)
        )
        kwargs = {
            name: _kept(each, (name,), axes=axes, counts=counts, keep=keep)
            for name, each in self.operation.kwargs.items()
        }
        return piece_of(self.operation.name, args, kwargs)

    def shape(self, keep: Keep) -> tuple[int, ...]:
        """The shape of its first output."""
        return _sizes(self.operation.outputs[0].shape, self.made, keep)


def whole(size: int, axis: Axis) -> int:
    """Nothing has left."""
    return size


def keeping(marked: NDArray[np.bool_]) -> Keep:
    """What stays of a dimension when the labels marked in `marked` leave."""
    known: dict[int, tuple[Axis, int]] = {}  # by identity: most operations hand their axes on

    def keep(size: int, axis: Axis) -> int:
        if id(axis) not in known:
            known[id(axis)] = axis, kept_count(axis, marked)
        return size * known[id(axis)][1] // len(axis) if len(axis) else size

    return keep


def steps_of(graph: ChannelGraph, *, batch: int) -> tuple[Step, ...]:
    """The operations of inference on `batch` inputs that do work, in order; views and numbers do none.

    Where the network takes another course at this batch than where its channels were followed (torch copies
    less of a single input), its operations on two inputs are given.
    """
    known = graph.traces[0]
    trace = record(graph.model, graph.calling.empty(graph.model, batch=batch), run=graph.calling.run)
    if [each.name for each in trace.operations] != [each.name for each in known.operations]:
        trace = known
    axes_of = axes_finder(graph)
    literals: dict[int, list[tuple[tuple[int | str, ...], Axis]]] = {}
    for each in graph.propagation.literals[0]:
        literals.setdefault(each.operation, []).append((each.path, each.axis))
    return tuple(
        Step(
            trace.path_of(now),
            now,
            tuple(axes_of(ref) for ref in before.tensors()),
            tuple(literals.get(now.index, ())),
            axes_of(before.outputs[0]),
        )
        for now, before in zip(trace.operations, known.operations, strict=True)
        if now.outputs and now.tensors() and not _is_free(now.name)
    )


@cache
def _is_free(name: str) -> bool:
    """Whether an operation gives another view of what it reads."""
    room, _, leaf = name.partition(".")
    packet = getattr(getattr(torch.ops, room), leaf)
    schema = getattr(packet, packet.overloads()[0])._schema
    aliases = [each.alias_info for each in schema.returns]
    return name == "aten._unsafe_view" or any(each is not None and not each.is_write for each in aliases)


def _kept(
    given: Any,
    path: tuple[int | str, ...],
    *,
    axes: Any,
    counts: Mapping[tuple[int | str, ...], Axis],
    keep: Keep,
) -> Any:
    """An argument after channels have left; `axes` gives those of the tensors in order."""
    if isinstance(given, TensorRef):
        return _spread(given, next(axes), keep)
    if isinstance(given, (list, tuple)):
        parts = (_kept(each, (*path, i), axes=axes, counts=counts, keep=keep) for i, each in enumerate(given))
        return tuple(parts)
    return keep(given, counts[path]) if path in counts else given


def _sizes(shape: Sequence[int], axes: Sequence[Axis], keep: Keep) -> tuple[int, ...]:
    return tuple(keep(size, axis) if axis.shape[1] else size for size, axis in zip(shape, axes, strict=True))


def _spread(ref: TensorRef, axes: Sequence[Axis], keep: Keep) -> Spread:
    stride = ref.stride or ()
    order = sorted(range(len(ref.shape)), key=lambda d: -stride[d]) if stride else range(len(ref.shape))
    repeated = (d for d, step in enumerate(stride) if step == 0 and ref.shape[d] > 1)
    dtype = str(ref.dtype).removeprefix("torch.")
    return Spread(_sizes(ref.shape, axes, keep), tuple(order), tuple(repeated), dtype)


def _text(given: Any) -> str:
    if isinstance(given, tuple):
        return f"[{', '.join(map(_text, given))}]"
    return str(given)
