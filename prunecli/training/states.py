"""A model's state, copied and put back: parameters, buffers, and which modules are in training mode.

A `state_dict` is no copy: its tensors are the live ones, and what is "saved" in it is whatever the last
step made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers by name, those that a `state_dict` leaves out included."""
    return {name: tensor.detach().clone() for name, tensor in named_tensors(model)}


@torch.no_grad()
def restore(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put a `snapshot` back, in place: the parameters stay the same objects."""
    for name, tensor in named_tensors(model):
        tensor.copy_(state[name])


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every module is in the training or evaluation mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, then buffers, by name: those that a `state_dict` leaves out included."""
    return chain(model.named_parameters(), model.named_buffers())
