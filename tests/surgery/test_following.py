"""Integers of a forward that no shape shows are found where they are kept, and follow."""

from __future__ import annotations

import copy

import networks
import pytest
from networks import Head, conv
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery import planning, trial
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

SHAPE = (3, 8, 8)


class SizeOfAView(nn.Module):
    """The reshape fails before it becomes an operation when the size is wrong."""

    def __init__(self):
        super().__init__()
        self.width = 8
        self.stem, self.linear = conv(3, 8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).transpose(1, 2).transpose(2, 3)
        return self.linear(x.reshape(-1, 64, self.width).mean(1))


class TupleOfSizes(nn.Module):
    """A vector grows into a map, whose shape is an attribute."""

    def __init__(self):
        super().__init__()
        self.shape = (6, 4, 4)
        self.grow, self.next = nn.Linear(5, 96), conv(6, 4)
        self.head = Head(4)

    def forward(self, x):
        return self.head(self.next(self.grow(x.mean((2, 3)).repeat(1, 2)[:, :5]).view(-1, *self.shape)))


class ListOfSizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes = [3, 5]
        self.stem, self.left, self.right = conv(3, 8), conv(3, 4), conv(5, 4)
        self.head = Head(4)

    def forward(self, x):
        left, right = self.stem(x).split(self.sizes, 1)
        return self.head(self.left(left) + self.right(right))


class ReadByItsParent(nn.Module):
    """The number of heads is an attribute of a part, and the parent reads it there."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.project = conv(3, 16, 1), nn.Linear(16, 96), nn.Linear(32, 16)
        self.linear = nn.Linear(16, 5)
        self.part = Settings()

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.part.heads, 4).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * 0.5).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(*x.shape[:2], -1))
        return self.linear(x.mean(1))


class Settings(nn.Module):
    def __init__(self):
        super().__init__()
        self.side, self.heads = 8, 8


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = 8
        self.qkv, self.project = nn.Linear(16, 96), nn.Linear(32, 16)

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, 4).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * 0.5).softmax(-1)
        return self.project((weights @ v).transpose(1, 2).reshape(*x.shape[:2], -1))


class Alike(nn.Module):
    """Four blocks of one class."""

    def __init__(self):
        super().__init__()
        self.embed = conv(3, 16, 1)
        self.blocks = nn.ModuleList(Attention() for _ in range(4))
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block(x)
        return self.linear(x.mean(1))


def cut(network, removed):
    model = networks.randomised(network())
    graph = build_graph(model, SHAPE)
    planned = make_plan(graph, removed)
    small = carry_out(planned.plan, copy.deepcopy(model))
    return model, graph, planned, small


def _plain(held):
    return tuple(held) if isinstance(held, list) else held


@pytest.mark.parametrize(
    ("network", "removed", "followed"),
    [
        (SizeOfAView, {"stem": [1, 4]}, {("", "width"): (8, 6)}),
        (TupleOfSizes, {"grow": [5]}, {("", "shape"): ((6, 4, 4), (5, 4, 4))}),
        # channels of both parts: two places of one list
        (ListOfSizes, {"stem": [0], "stem#2": [1, 2]}, {("", "sizes"): ((3, 5), (2, 3))}),
        (ListOfSizes, {"stem#2": [1, 2]}, {("", "sizes"): ((3, 5), (3, 3))}),
        # not `side`, which has the same value
        (ReadByItsParent, {"qkv": [2, 3, 4]}, {("part", "heads"): (8, 5)}),
        # of four blocks those that lose heads
        (
            Alike,
            {"blocks.0.qkv": [1], "blocks.2.qkv": [0, 7]},
            {("blocks.0", "heads"): (8, 7), ("blocks.2", "heads"): (8, 6)},
        ),
    ],
)
def test_the_attribute_follows(network, removed, followed):
    model, graph, planned, small = cut(network, removed)
    assert planned.protected == {}
    assert planned.found
    own = {module for module, _ in followed}
    changes = {(each.module, each.attribute): (each.before, each.after) for each in planned.plan.attributes}
    assert {key: change for key, change in changes.items() if key[0] in own} == followed
    for (module, attribute), (before, after) in followed.items():
        held = getattr(small.get_submodule(module), attribute)
        assert type(held) is type(getattr(model.get_submodule(module), attribute))  # a list stays one
        assert held == (list(after) if isinstance(held, list) else after)
        assert before == _plain(getattr(graph.model.get_submodule(module), attribute))
    assert verify(graph, model, small, removed).equivalent


def test_modules_alike_are_found_in_one_trial(monkeypatch):
    trials = []

    def counted(*args):
        trials.append(args)
        return trial.try_out(*args)

    monkeypatch.setattr(planning, "try_out", counted)
    removed = {f"blocks.{i}.qkv": [i] for i in range(4)}
    _, _, planned, _ = cut(Alike, removed)
    assert [each.after for each in planned.plan.attributes if each.attribute == "heads"] == [7, 7, 7, 7]
    assert len(trials) == 2  # one that fails at the first block, one with all of them changed


def test_probing_leaves_the_graph_as_it_was():
    _, graph, _, _ = cut(ReadByItsParent, {"qkv": [2]})
    assert (graph.model.part.side, graph.model.part.heads) == (8, 8)


def test_a_number_in_the_code_cannot_follow():
    class Literal(ListOfSizes):
        def forward(self, x):
            left, right = self.stem(x).split([3, 5], 1)
            return self.head(self.left(left) + self.right(right))

    _, _, planned, small = cut(Literal, {"stem": [0], "left": [1]})
    assert list(planned.protected) == ["stem"]
    assert "aten.split_with_sizes where 2 would be left" in planned.protected["stem"]
    assert small.head.linear.in_features == 3
