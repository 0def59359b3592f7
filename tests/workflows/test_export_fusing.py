"""Batch norms go into the layer before them where that layer alone feeds them, and nothing changes."""

from __future__ import annotations

from collections import OrderedDict

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.errors import WorkFailed
from prunecli.workflows import export_fusing
from prunecli.workflows.export_fusing import Pair, fused, pairs_of

IMAGES = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


class Kinds(nn.Module):
    """A convolution, a transposed and a linear layer with a norm each; an output that others read too."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, groups=3)
        self.norm1 = nn.BatchNorm2d(6)
        self.up = nn.ConvTranspose2d(6, 4, 2, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.norm3 = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        self.norm4 = nn.BatchNorm1d(5)

    def forward(self, x):
        x = functional.relu(self.norm1(self.conv(x)))
        x = self.norm2(self.up(x))
        y = self.shared(x)
        return self.norm4(self.head((self.norm3(y) + y).mean((2, 3))))


class Twice(nn.Module):
    """One convolution and its norm, called twice; a norm without a layer before it."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.first(x)
        return self.norm(self.conv(self.norm(self.conv(x))))


class NormAct(nn.BatchNorm2d):
    """A norm with what follows it inside, as timm has it."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


def closeness(model, made):
    with torch.no_grad():
        return float((model(*IMAGES) - made(*IMAGES)).abs().max())


def test_every_kind_of_layer_takes_its_norm_in_but_not_what_others_read():
    model = networks.randomised(Kinds()).eval()
    made, pairs = fused(model, IMAGES)
    assert pairs == (Pair("conv", "norm1"), Pair("up", "norm2"), Pair("head", "norm4"))
    assert closeness(model, made) < 1e-5
    assert type(made.norm1) is type(made.norm4) is nn.Identity
    assert type(made.norm3) is nn.BatchNorm2d
    assert made.up.bias.shape == (4,)
    assert next(made.parameters()).dtype == torch.float32
    assert type(model.norm1) is nn.BatchNorm2d


def test_a_layer_that_is_called_twice_keeps_its_norm():
    assert pairs_of(networks.randomised(Twice()).eval(), IMAGES) == ()


def test_what_a_norm_does_after_it_stays():
    parts = OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=NormAct(4))
    model = networks.randomised(nn.Sequential(parts)).eval()
    made, pairs = fused(model, IMAGES)
    assert pairs == (Pair("conv", "norm"),)
    assert [type(each) for each in made.norm] == [nn.ReLU]
    assert closeness(model, made) < 1e-5


def test_a_wrong_fold_is_noticed(monkeypatch):
    model = networks.randomised(Kinds()).eval()
    monkeypatch.setattr(export_fusing, "_fold", lambda layer: lambda one, _: one)
    with pytest.raises(WorkFailed, match="computes something else") as caught:
        fused(model, IMAGES)
    assert caught.value.hints == ("leave --fuse out",)
