"""Try a plan on shapes: run the cut network on the meta device beside the trace of the whole one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils import _pytree as pytree

from prunecli.graph.channel_graph import ChannelGraph, first_line
from prunecli.graph.labels import Axis, kept_count
from prunecli.graph.propagation import Literal
from prunecli.graph.tracing import Operation, TensorRef, Trace, record
from prunecli.surgery.folding import SCALING, Rescaled, Uses, fold
from prunecli.surgery.plan import Scaling


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Where the cut network's run parts from what the plan foresees.

    `wanted` are integer arguments of the operation that did not follow; none when the run failed or took
    another course for a reason that no argument shows.
    """

    trace: Trace
    operation: int
    reason: str
    wanted: tuple[Literal, ...] = ()

    @property
    def axes(self) -> list[Axis]:
        """What the arguments count."""
        return [literal.axis for literal in self.wanted]


COPY = "aten.clone"  # what a view begins with where the layout asks for it


class _Stop(Exception):
    """Ends a trial at the first argument that did not follow."""


class _Watch:
    """Compares each operation of the cut network, before it runs, with the whole network's."""

    def __init__(self, trace: Trace, literals: Sequence[Literal], marked: NDArray[np.bool_]) -> None:
        self.trace = trace
        self.marked = marked
        self.reached = -1
        self.found: Mismatch | None = None
        self.rescaled: list[Rescaled] = []
        self._by_operation: dict[int, list[Literal]] = {}
        for literal in literals:
            self._by_operation.setdefault(literal.operation, []).append(literal)

    def before(self, operation: Operation) -> None:
        self.reached = operation.index
        whole = (
            self.trace.operations[operation.index] if operation.index < len(self.trace.operations) else None
        )
        if whole is None or whole.name != operation.name:
            reason = f"the forward takes another course in {self.trace.place_of(operation)!r}"
            # a slice that would take all there is, is no operation
            self.found = Mismatch(self.trace, operation.index, reason, self._not_whole(operation.index))
            raise _Stop
        if any(ref.value is None for ref in whole.tensors()):  # else numbers meet before they meet a channel
            for now, expected in zip(_constants(operation), _constants(whole), strict=False):
                if now != expected:
                    self.rescaled.append(Rescaled(whole, now, expected))
        for literal in self._by_operation.get(operation.index, ()):
            value = argument(operation.args, literal.path)
            original = argument(whole.args, literal.path)
            needed = kept_count(literal.axis, self.marked)
            if value is None or value < 0 or original != len(literal.axis) or value == needed:
                continue
            where = self.trace.place_of(whole)
            reason = f"{where} passes a fixed {value} to {whole.name} where {needed} would be left"
            self.found = Mismatch(self.trace, operation.index, reason, (literal,))
            raise _Stop

    def broken_off(self, error: Exception) -> Mismatch:
        """The run ended in an error: in the operation reached, or before the next one could begin.

        A view into sizes that do not fit fails before it is seen, so its sizes are looked up here.
        """
        last = len(self.trace.operations) - 1
        coming = min(self.reached + 1, last)
        while coming < last and self.trace.operations[coming].name == COPY:
            coming += 1
        wanted = self._not_whole(coming)
        at = coming if wanted else min(max(self.reached, 0), last)
        where = self.trace.place_of(self.trace.operations[at])
        return Mismatch(self.trace, at, f"{where} does not follow: {first_line(error)}", wanted)

    def _not_whole(self, index: int) -> tuple[Literal, ...]:
        """The arguments of a traced operation that have to change with the cut."""
        return tuple(
            literal
            for literal in self._by_operation.get(index, ())
            if kept_count(literal.axis, self.marked) != len(literal.axis)
        )


def _constants(operation: Operation) -> list[float]:
    """The floating-point numbers among the arguments, and a whole number that the operation multiplies by.

    A scale by 1/√width is one of them.
    """
    kinds = {float, int} if operation.name.rstrip("_") in SCALING else {float}
    return [leaf for leaf in _numbers((*operation.args, *operation.kwargs.values())) if type(leaf) in kinds]


def _numbers(tree: Iterable[Any]) -> Iterator[Any]:
    """The leaves of nested arguments, tensors by the number that they are known to hold."""
    for leaf in tree:
        if isinstance(leaf, TensorRef):
            yield leaf.value
        elif isinstance(leaf, (list, tuple)):
            yield from _numbers(leaf)
        else:
            yield leaf


def argument(args: Any, path: tuple[int | str, ...]) -> int | None:
    """The integer at `path` of nested arguments, or None when there is none."""
    for step in path:
        if not isinstance(args, (list, tuple)) or not isinstance(step, int) or step >= len(args):
            return None
        args = args[step]
    return args if isinstance(args, int) else None


def try_out(graph: ChannelGraph, cut: nn.Module, marked: NDArray[np.bool_]) -> Mismatch | tuple[Scaling, ...]:
    """Run the cut network, which lies on the meta device, in each mode that was traced.

    The first mismatch; else the scalings of weights that make up for constants which follow a width.
    """
    scalings: dict[Scaling, None] = {}
    for number, trace in enumerate(graph.traces):
        if number and graph.trains_alike:
            break
        found = _run(graph, cut, marked, number, trace)
        if isinstance(found, Mismatch):
            return found
        if number and scalings.keys() != dict.fromkeys(found).keys():
            return Mismatch(trace, 0, "training computes with other constants than inference")
        scalings.update(dict.fromkeys(found))
    return tuple(scalings)


def _run(
    graph: ChannelGraph, cut: nn.Module, marked: NDArray[np.bool_], number: int, trace: Trace
) -> Mismatch | tuple[Scaling, ...]:
    watch = _Watch(trace, graph.propagation.literals[number], marked)
    try:
        ran = record(
            cut,
            graph.calling.empty(cut),
            run=graph.calling.run,
            training=trace.training,
            before=watch.before,
        )
    except _Stop:
        assert watch.found is not None
        return watch.found
    except Exception as error:
        return watch.broken_off(error)
    return _different_shape(graph, marked, number, ran) or _folded(trace, watch.rescaled)


def _folded(trace: Trace, rescaled: Sequence[Rescaled]) -> Mismatch | tuple[Scaling, ...]:
    """The scalings for all constants that changed; the first that no weights can take up is a mismatch."""
    scalings: list[Scaling] = []
    uses = Uses(trace)
    for each in rescaled:
        found = fold(uses, each)
        if found is None:
            where = trace.place_of(each.operation)
            reason = f"{where} computes with {each.now:.6g} where the whole network has {each.before:.6g}"
            return Mismatch(trace, each.operation.index, reason)
        scalings += found
    return tuple(scalings)


def surroundings(graph: ChannelGraph, mismatch: Mismatch) -> Iterator[list[Axis]]:
    """Axes around a mismatch in growing circles.

    Its own, its operation's, those of the operations that its inputs come from, its callers' inputs.
    """
    number, trace = graph.traces.index(mismatch.trace), mismatch.trace
    operation = trace.operations[min(mismatch.operation, len(trace.operations) - 1)]
    yield mismatch.axes
    made = graph.propagation.outputs[number].get(operation.index, ())
    yield [*_axes_of(graph, number, operation.tensors()), *made]
    yield from _upstream(graph, number, operation)
    call = trace.calls[operation.call]
    while True:
        yield _axes_of(graph, number, pytree.tree_leaves((call.args, call.kwargs)))
        if not call.number:
            return
        call = trace.calls[call.parent]


def _upstream(graph: ChannelGraph, number: int, operation: Operation) -> Iterator[list[Axis]]:
    """The axes that the makers of an operation's inputs read, then those that the makers of these read."""
    makers = {ref.number: each for each in graph.traces[number].operations for ref in each.outputs}
    seen: set[int] = set()
    level = [operation]
    while level:
        made = [makers[ref.number] for each in level for ref in each.tensors() if ref.number in makers]
        level = [each for each in {each.index: each for each in made}.values() if each.index not in seen]
        seen.update(each.index for each in level)
        yield [axis for each in level for axis in _axes_of(graph, number, each.tensors())]


def _axes_of(graph: ChannelGraph, number: int, leaves: Iterable[Any]) -> list[Axis]:
    """The axes of those of the leaves that are tensors of the trace, as far as they are known."""
    trace, outputs = graph.traces[number], graph.propagation.outputs[number]
    made_by = {ref.number: operation.index for operation in trace.operations for ref in operation.outputs[:1]}
    axes: list[Axis] = []
    for ref in leaves:
        if not isinstance(ref, TensorRef):
            continue
        if ref.name is not None:
            axes += [
                graph.origins[ref.name, d] for d in range(len(ref.shape)) if (ref.name, d) in graph.origins
            ]
        elif ref.number in made_by:
            axes += outputs[made_by[ref.number]]
    return axes


def _different_shape(
    graph: ChannelGraph, marked: NDArray[np.bool_], number: int, ran: Trace
) -> Mismatch | None:
    """The first operation whose output has another shape than the labels foresee."""
    trace = graph.traces[number]
    known: dict[int, int] = {}  # by identity: most operations hand their axes on

    def kept(axis: Axis) -> int:
        if id(axis) not in known:
            known[id(axis)] = kept_count(axis, marked)
        return known[id(axis)]

    for index, axes in graph.propagation.outputs[number].items():
        foreseen = tuple(map(kept, axes))
        if index >= len(ran.operations) or ran.operations[index].outputs[0].shape != foreseen:
            where = trace.place_of(trace.operations[index])
            reason = f"{where}: {trace.operations[index].name} gives another shape than foreseen"
            return Mismatch(trace, index, reason)
    return None
