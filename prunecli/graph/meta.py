"""A copy of a network on the meta device: shapes without data, so that running it costs no arithmetic."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def meta_copy(model: nn.Module) -> nn.Module:
    """A deep copy of `model` whose tensors have shape and type but no data; weights are never copied."""
    memo: dict[int, object] = {}
    for module in model.modules():
        held = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
        for tensor in held:
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = _without_data(tensor)
    return copy.deepcopy(model, memo)


def _without_data(tensor: Tensor) -> Tensor:
    # Reading .data leaves out what a parameter's gradient hangs on.
    empty = torch.empty_like(tensor.data, device="meta")
    return (
        nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    )
