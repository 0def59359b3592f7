"""Find the attribute that an integer argument came from, by changing attributes and looking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.tracing import ModuleCall, Operation, Recorder, TensorRef, Trace, tensor_names
from prunecli.surgery.plan import AttributeChange
from prunecli.surgery.trial import Mismatch, argument


class _Seen(Exception):
    """Ends a probe once the argument in question was seen."""


def find_attribute(graph: ChannelGraph, mismatch: Mismatch) -> AttributeChange | None:
    """The integer attribute whose value is the mismatched argument, with the value that it needs.

    Looks at the module that issued the operation and then at those that called it. None when no
    attribute drives the argument one to one.
    """
    if mismatch.literal is None or mismatch.needed is None:
        return None
    trace, literal = mismatch.trace, mismatch.literal
    operation = trace.operations[mismatch.operation]
    value = argument(operation.args, literal.path)
    if value is None:
        return None
    for call in _callers(trace, operation):
        module = graph.model.get_submodule(call.path)
        for name in _integers(module, value):
            if _probe(module, name, call, operation, literal.path) == value + 1:
                return AttributeChange(call.path, name, value, mismatch.needed)
    return None


def _callers(trace: Trace, operation: Operation) -> Iterator[ModuleCall]:
    call = trace.calls[operation.call]
    while call.number:
        yield call
        call = trace.calls[call.parent]


def _integers(module: nn.Module, value: int) -> list[str]:
    """Names of the module's own integer attributes that have this value."""
    return [n for n, v in vars(module).items() if type(v) is int and v == value and not n.startswith("_")]


def _probe(
    module: nn.Module, name: str, call: ModuleCall, operation: Operation, path: tuple[int | str, ...]
) -> int | None:
    """The argument at `path` of the operation when the attribute is one more; None when it is not reached."""
    offset = operation.index - call.first_operation
    seen: list[int | None] = []

    def before(current: Operation) -> None:
        if current.index == offset:
            seen.append(argument(current.args, path) if current.name == operation.name else None)
            raise _Seen

    value = getattr(module, name)
    setattr(module, name, value + 1)
    try:
        args, kwargs = _without_refs(call.args), _without_refs(call.kwargs)
        with torch.no_grad(), Recorder(tensor_names(module), before=before):
            module(*args, **kwargs)
    except Exception:
        pass
    finally:
        setattr(module, name, value)
    return seen[0] if seen else None


def _without_refs(tree: Any) -> Any:
    """The same tree with empty meta tensors where references were."""
    return pytree.tree_map(
        lambda leaf: (
            torch.empty(leaf.shape, dtype=leaf.dtype, device="meta") if isinstance(leaf, TensorRef) else leaf
        ),
        tree,
    )
