"""Expressions, constructors and names of written Python."""

from __future__ import annotations

import json
import operator

import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.exporters.python_source.expressions import NotPrintable, call, literal
from prunecli.exporters.python_source.parts import constructor, path_expression

aten = torch.ops.aten


def nothing(_):
    return None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1,), "(1,)"),
        ([1, "a", None], "[1, 'a', None]"),
        ({"a": (True, 1.5)}, "{'a': (True, 1.5)}"),
        (slice(None, 2), "slice(None, 2, None)"),
        (float("inf"), 'float("inf")'),
        (torch.float16, "torch.float16"),
        (torch.device("cpu"), "device"),
        (torch.channels_last, "torch.channels_last"),
        (..., "..."),
    ],
)
def test_literals(value, text):
    assert literal(value, nothing) == text


def test_what_is_no_literal_is_refused():
    with pytest.raises(NotPrintable, match="object"):
        literal(object(), nothing)


@pytest.mark.parametrize(
    ("target", "args", "kwargs", "text"),
    [
        (operator.add, ("x", 1), {}, "'x' + 1"),
        (operator.getitem, ("x", (slice(None), 0, ...)), {}, "'x'[:, 0, ...]"),
        (operator.getitem, ("x", (slice(None, None, 2),)), {}, "'x'[::2,]"),
        (operator.neg, ("x",), {}, "operator.neg('x')"),
        (getattr, ("x", "shape"), {}, "'x'.shape"),
        (torch.cat, ([1, 2],), {"dim": 1}, "torch.cat([1, 2], dim=1)"),
        (functional.relu, ("x",), {"inplace": True}, "F.relu('x', inplace=True)"),
        (functional.gelu, ("x",), {}, "F.gelu('x')"),
        (aten.sym_size.int, ("x", 0), {}, "'x'.shape[0]"),
        (aten.add.Tensor, ("x", "y"), {}, "'x' + 'y'"),
        (aten.add.Tensor, ("x", "y"), {"alpha": 2}, "aten.add('x', 'y', alpha=2)"),
        (aten.conv2d.default, ("x", "w"), {}, "F.conv2d('x', 'w')"),
        (aten.batch_norm.default, ("x",), {}, "aten.batch_norm('x')"),
        (len, ("x",), {}, "len('x')"),
    ],
)
def test_calls(target, args, kwargs, text):
    assert call(target, args, kwargs, nothing) == text


def test_functions_of_other_packages_are_refused():
    with pytest.raises(NotPrintable, match=r"json\.loads"):
        call(json.loads, ("x",), {}, nothing)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Conv2d(4, 8, (3, 1), stride=2, groups=2), "nn.Conv2d(4, 8, (3, 1), stride=2, groups=2)"),
        (nn.BatchNorm2d(5), "nn.BatchNorm2d(5)"),
        (nn.Linear(3, 4, bias=False), "nn.Linear(3, 4, bias=False)"),
        (nn.LayerNorm(7, eps=1e-6), "nn.LayerNorm(7, eps=1e-06)"),
        (nn.MaxPool2d(2, 2), "nn.MaxPool2d(2, stride=2)"),
        (nn.AdaptiveAvgPool2d((1, 1)), "nn.AdaptiveAvgPool2d((1, 1))"),
        (nn.ReLU(inplace=True), "nn.ReLU(inplace=True)"),
        (nn.Embedding(9, 2, padding_idx=0), "nn.Embedding(9, 2, padding_idx=0)"),
        (nn.LSTM(3, 4, num_layers=2, batch_first=True), "nn.LSTM(3, 4, num_layers=2, batch_first=True)"),
        (
            nn.MultiheadAttention(8, 2, batch_first=True),
            "nn.MultiheadAttention(8, 2, kdim=8, vdim=8, batch_first=True)",
        ),
    ],
)
def test_standard_modules_are_made_by_their_constructors(module, text):
    assert constructor(module) == text


def test_what_a_constructor_does_not_give_has_none():
    class Own(nn.Conv2d):
        pass

    cut = nn.MultiheadAttention(8, 2)
    cut.in_proj_weight = nn.Parameter(torch.zeros(12, 8))
    assert constructor(cut) is None
    assert constructor(Own(1, 1, 1)) is None
    assert constructor(nn.Sequential(nn.ReLU())) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("conv", "self.conv"),
        ("layer1.0.conv1", "self.layer1[0].conv1"),
        ("a.lambda.x y", "self.a['lambda']['x y']"),
    ],
)
def test_paths(path, text):
    assert path_expression(path) == text
