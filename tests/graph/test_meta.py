"""A copy without weights shares no memory with the model and keeps what is tied tied."""

from __future__ import annotations

import copy

import torch
from torch import nn

from prunecli.graph.meta import meta_copy


class Tied(nn.Module):
    """Two layers with one weight, a buffer that is not saved, and a plain tensor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("grid", torch.ones(2), persistent=False)
        self.plain = torch.ones(1, 3) * self.first.weight.sum()

    def forward(self, x):
        return self.second(self.first(x)) + self.plain


def test_every_tensor_is_on_the_meta_device_and_tied_ones_stay_tied(monkeypatch):
    model = Tied()

    def refuse(*_):
        raise AssertionError("a tensor was copied")

    monkeypatch.setattr(torch.Tensor, "__deepcopy__", refuse)
    monkeypatch.setattr(nn.Parameter, "__deepcopy__", refuse)
    made = meta_copy(model)
    assert made.first.weight.is_meta
    assert made.grid.is_meta
    assert made.plain.is_meta
    assert isinstance(made.first.weight, nn.Parameter)
    assert made.first.weight is made.second.weight
    assert made(torch.empty(1, 3, device="meta")).shape == (1, 3)
    assert not model.first.weight.is_meta
    assert model.grid.tolist() == [1, 1]


def test_shapes_and_types_are_kept():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(torch.bfloat16)
    made = meta_copy(model).state_dict()
    for name, tensor in copy.deepcopy(model).state_dict().items():
        assert made[name].shape == tensor.shape
        assert made[name].dtype == tensor.dtype
