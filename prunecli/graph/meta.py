"""A copy of a network on the meta device: shapes without data, so that running it costs no arithmetic."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.graph.shape_formulas import empty_like

COMPILED = "_compiled_call_impl"  # torch leaves it out of a module's state
USUAL = (object, nn.Module)
PLAIN = frozenset({int, float, str, bool, type(None), torch.dtype, torch.device})
EMPTY = frozenset({dict, OrderedDict, set, list})


def meta_copy(model: nn.Module) -> nn.Module:
    """A deep copy of `model` whose tensors have shape and type but no data; weights are never copied."""
    memo: dict[int, Any] = {}
    modules = list(model.modules())
    for module in modules:
        held = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
        for tensor in held:
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = _without_data(tensor)
    # deepcopy asks every module how it wants to be taken apart, which is most of its time.
    blank = [(module, type(module).__new__(type(module))) for module in modules if _has_plain_state(module)]
    memo.update((id(module), new) for module, new in blank)
    for module, new in blank:
        state = {name: value for name, value in vars(module).items() if name != COMPILED}
        vars(new).update({name: _copied(value, memo) for name, value in state.items()})
    return copy.deepcopy(model, memo)


def _has_plain_state(module: nn.Module) -> bool:
    """Whether a copy of the module is a copy of its attributes, and no more."""
    kind: Any = type(module)
    return (
        not hasattr(kind, "__deepcopy__")
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__setstate__.__module__.startswith("torch.nn.")  # these fill in what old files lack
        and any(getattr(kind, "__getstate__", None) is getattr(each, "__getstate__", None) for each in USUAL)
    )


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in PLAIN or (kind is tuple and all(type(each) in PLAIN for each in value)):
        return value
    if kind in EMPTY and not value:
        return kind()
    if kind is dict and all(each is None or id(each) in memo for each in value.values()):
        return {name: None if each is None else memo[id(each)] for name, each in value.items()}
    return copy.deepcopy(value, memo)


def _without_data(tensor: Tensor) -> Tensor:
    # Reading .data leaves out what a parameter's gradient hangs on.
    empty = empty_like(tensor.data)
    return (
        nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    )
