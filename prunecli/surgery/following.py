"""Find the attribute that an integer argument came from, by changing attributes and looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import kept_count
from prunecli.graph.propagation import Literal
from prunecli.graph.recurrent import recurrent_layers_whole
from prunecli.graph.tracing import ModuleCall, Operation, Recorder, TensorRef, Trace, tensor_names
from prunecli.surgery.plan import AttributeChange
from prunecli.surgery.trial import COPY, argument

VIEWS = (torch.Tensor.view, torch.Tensor.reshape, torch.reshape)


class _Seen(Exception):
    """Ends a probe once the argument in question was seen."""


def find_attribute(
    graph: ChannelGraph, number: int, literal: Literal, marked: NDArray[np.bool_]
) -> Iterator[AttributeChange]:
    """The attribute that an integer argument comes from, with the value that it needs; then those like it.

    `literal` belongs to the graph's trace `number`. The attribute is an integer, or one of a tuple of
    integers, of the module that issued the operation, of one that called it, or of a part of these. Nothing
    when no attribute drives the argument one to one. Other modules of the same class whose same argument
    comes from the same attribute are found with it, which saves a run of the network for each.
    """
    trace = graph.traces[number]
    operation = trace.operations[literal.operation]
    for call in _callers(trace, operation):
        found = _driving(graph, trace, call, literal, marked)
        if found is None:
            continue
        yield found
        if found.module != call.path or not call.number:
            return
        kind = type(graph.model.get_submodule(call.path))
        offset = operation.index - call.first_operation
        literals = {(each.operation, each.path): each for each in graph.propagation.literals[number]}
        for other in trace.calls:
            alike = literals.get((other.first_operation + offset, literal.path))
            if alike is None or other == call or type(graph.model.get_submodule(other.path)) is not kind:
                continue
            if kept_count(alike.axis, marked) != len(alike.axis):
                change = _driving(graph, trace, other, alike, marked, only=found.attribute)
                if change is not None:
                    yield change
        return


def _driving(
    graph: ChannelGraph,
    trace: Trace,
    call: ModuleCall,
    literal: Literal,
    marked: NDArray[np.bool_],
    *,
    only: str | None = None,
) -> AttributeChange | None:
    """The attribute of the called module that an argument comes from, among all or `only` this one."""
    operation = trace.operations[literal.operation]
    value = argument(operation.args, literal.path)
    if value is None:
        return None
    module = graph.model.get_submodule(call.path)
    probe = _Probe(graph, trace, call, operation, literal.path)
    needed = kept_count(literal.axis, marked)
    inside = {"": module} if only else {"": module, **dict(module.named_children())}
    for child, holder in inside.items():
        for name, place in _integers(holder, value):
            if only not in {None, name}:
                continue
            before = _plain(getattr(holder, name))
            if probe.argument_with(module, holder, name, _put(before, place, value + 1)) == value + 1:
                path = ".".join(part for part in (call.path, child) if part)
                return AttributeChange(path, name, before, _put(before, place, needed))
    return None


def _callers(trace: Trace, operation: Operation) -> Iterator[ModuleCall]:
    call = trace.calls[operation.call]
    while call.number:
        yield call
        call = trace.calls[call.parent]
    yield call


def _integers(module: nn.Module, value: int) -> Iterator[tuple[str, int | None]]:
    """The module's own attributes that have this value, or hold it at a place of a tuple or list."""
    for name, held in vars(module).items():
        if name.startswith("_"):
            continue
        if type(held) is int and held == value:
            yield name, None
        elif isinstance(held, (tuple, list)) and all(type(each) is int for each in held):
            yield from ((name, place) for place, each in enumerate(held) if each == value)


def _plain(held: int | Sequence[int]) -> int | tuple[int, ...]:
    return held if isinstance(held, int) else tuple(held)


def _put(before: int | tuple[int, ...], place: int | None, value: int) -> int | tuple[int, ...]:
    """The attribute with another value, or with another value at one place."""
    if place is None or isinstance(before, int):
        return value
    return (*before[:place], value, *before[place + 1 :])


class _Views(TorchFunctionMode):
    """Remembers the sizes that a view was last asked for: one that does not fit is never an operation."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: tuple[Any, ...] = ()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in VIEWS:
            given = args[1:]
            self.asked = tuple(given[0]) if given and isinstance(given[0], (tuple, list)) else given
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class _Probe:
    """Runs a module's call again to see the argument at `path` of one of its operations."""

    graph: ChannelGraph
    trace: Trace
    call: ModuleCall
    operation: Operation
    path: tuple[int | str, ...]

    def argument_with(
        self, module: nn.Module, holder: nn.Module, name: str, changed: int | tuple[int, ...]
    ) -> int | None:
        """The argument with an attribute of `holder` changed; None when the operation is not reached."""
        seen: list[int | None] = []

        def before(current: Operation) -> None:
            if current.index == self.operation.index - self.call.first_operation:
                same = current.name == self.operation.name
                seen.append(argument(current.args, self.path) if same else None)
                raise _Seen

        value = getattr(holder, name)
        setattr(holder, name, changed)
        views, recorder = _Views(), Recorder(tensor_names(module), before=before)
        try:
            run = self._again(module)
            with torch.no_grad(), recurrent_layers_whole(module), views, recorder:
                run()
        except Exception:
            if not seen and self._comes_next(len(recorder.operations)):
                return argument((None, views.asked), self.path)
        finally:
            setattr(holder, name, value)
        return seen[0] if seen else None

    def _again(self, module: nn.Module) -> Callable[[], Any]:
        """The call with empty tensors; that of the whole network is made as the graph makes it."""
        if not self.call.number:
            calling = self.graph.calling
            return partial(calling.run, module, calling.empty(module))
        args, kwargs = _without_refs(self.call.args), _without_refs(self.call.kwargs)
        return partial(module, *args, **kwargs)

    def _comes_next(self, done: int) -> bool:
        """Whether the operation would have followed the `done` ones of this run, a view's copy aside."""
        between = self.trace.operations[self.call.first_operation + done : self.operation.index]
        return all(each.name == COPY for each in between)


def _without_refs(tree: Any) -> Any:
    """The same tree with empty meta tensors where references were."""
    return pytree.tree_map(lambda leaf: _empty(leaf) if isinstance(leaf, TensorRef) else leaf, tree)


def _empty(ref: TensorRef) -> torch.Tensor:
    """An empty tensor laid out as the traced one, so that the same views need the same copies."""
    if ref.stride is None:
        return torch.empty(ref.shape, dtype=ref.dtype, device="meta")
    return torch.empty_strided(ref.shape, ref.stride, dtype=ref.dtype, device="meta")
