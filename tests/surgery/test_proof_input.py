"""The proof runs on a smaller picture where the network is the same there, else on its own."""

from __future__ import annotations

import copy

import networks
import pytest
from coupling_networks import Recurrent, TwoInputs
from torch import nn
from torch.nn import functional

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.proof_input import graph_for_proof, ignores_mode
from prunecli.surgery.verification import verify


def shapes(graph):
    return [each.shape for each in graph.calling.inputs]


class FixedSize(nn.Module):
    """A linear layer over all positions takes one size of picture."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, stride=8)
        self.linear = nn.Linear(4 * 28 * 28, 5)

    def forward(self, x):
        return self.linear(self.stem(x).flatten(1))


class OtherCourse(networks.Plain):
    """Another layer serves large pictures."""

    def __init__(self):
        super().__init__()
        self.large = networks.conv(6, 6)

    def forward(self, x):
        y = self.conv2(self.bn1(self.conv1(x)))
        return self.head(self.large(y) if x.shape[-1] > 150 else y)


class ShiftsLarge(networks.Plain):
    """Rolls large pictures: the same weights, but less is done to small ones."""

    def forward(self, x):
        return super().forward(x.roll(3, 2) if x.shape[-1] > 150 else x)


class PadsSmall(networks.Plain):
    """Does more to small pictures."""

    def forward(self, x):
        return super().forward(functional.pad(x, (0, 8, 0, 8)) if x.shape[-1] < 150 else x)


class InThirtyTwos(networks.Plain):
    """Takes sides that are multiples of 32."""

    def forward(self, x):
        return super().forward(x.unflatten(3, (-1, 32)).flatten(3))


class FewValues(networks.Plain):
    """Up to a side of 127 a channel has two values in a batch: nothing but their order is left of them."""

    def forward(self, x):
        return super().forward(functional.avg_pool2d(x, 64))


class TooSmall(networks.Plain):
    """At a side of 80 the last of its maps would be empty."""

    def forward(self, x):
        return super().forward(x[:, :, 100:, 100:])


@pytest.mark.parametrize(
    ("model", "shape", "proved_on"),
    [
        (networks.Plain(), (3, 224, 224), [(3, 80, 80)]),
        (networks.Plain(), (3, 70, 500), [(3, 70, 80)]),
        (networks.LayerNorm(), (3, 224, 224), [(3, 64, 64)]),
        # fewer positions by less than two
        (networks.Plain(), (3, 90, 90), [(3, 90, 90)]),
        (networks.Plain(), (3, 8, 8), [(3, 8, 8)]),
        (InThirtyTwos(), (3, 224, 224), [(3, 64, 64)]),
        # 128 fits where 80 and 64 do not
        (TooSmall(), (3, 300, 300), [(3, 128, 128)]),
        (FixedSize(), (3, 224, 224), [(3, 224, 224)]),
        (OtherCourse(), (3, 224, 224), [(3, 224, 224)]),
        (ShiftsLarge(), (3, 224, 224), [(3, 224, 224)]),
        (PadsSmall(), (3, 224, 224), [(3, 80, 80)]),
        # half and two thirds of a large picture, in steps of 32
        (ShiftsLarge(), (3, 384, 384), [(3, 192, 192)]),
        (ShiftsLarge(), (3, 260, 260), [(3, 160, 160)]),
        (FewValues(), (3, 224, 224), [(3, 128, 128)]),
        (TwoInputs(), (3, 224, 224), [(3, 64, 64), (3, 64, 64)]),
        (Recurrent(nn.GRU(10, 8), 8), (900, 6), [(900, 6)]),
    ],
)
def test_the_picture_that_the_proof_takes(model, shape, proved_on):
    graph = build_graph(model, shape)
    assert shapes(graph_for_proof(graph)) == proved_on


def test_the_method_names_the_size_and_a_wrong_cut_is_found_on_it():
    model = networks.randomised(networks.Residual())
    graph = build_graph(model, (3, 224, 224))
    removed = {"stem": [1], "inner": [0, 4]}
    small = carry_out(make_plan(graph, removed).plan, copy.deepcopy(model))
    found = verify(graph, model, small, removed)
    assert "random input of 3x64x64" in found.method
    assert found.equivalent
    other = carry_out(make_plan(graph, {"stem": [1], "inner": [0, 5]}).plan, copy.deepcopy(model))
    assert not verify(graph, model, other, removed).equivalent


class Tokens(nn.Module):
    """No batch statistics: what training does, inference does."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.out = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.norm(self.stem(x)))


class Scaled(Tokens):
    def forward(self, x):
        return super().forward(x * 2 if self.training else x)


@pytest.mark.parametrize(
    ("model", "shape", "batch", "ignores"),
    [
        (Tokens(), (5, 6), 1, True),
        (Scaled(), (5, 6), 1, False),
        (networks.Plain(), (3, 8, 8), 1, False),
        (networks.Plain(), (3, 2, 2), 2, False),
        (networks.LayerNorm(), (3, 8, 8), 1, True),
    ],
)
def test_one_sample_is_enough_where_batch_statistics_have_enough_values(model, shape, batch, ignores):
    graph = graph_for_proof(build_graph(model, shape))
    assert [trace.inputs[0].shape[0] for trace in graph.traces] == [batch, batch]
    assert ignores_mode(graph) is ignores
    assert [trace.training for trace in graph.traces] == [False, True]


def test_labels_and_groups_stay_those_of_the_trace():
    graph = build_graph(networks.Residual(), (3, 224, 224))
    small = graph_for_proof(graph)
    assert small.groups is graph.groups
    assert small.origins is graph.origins
