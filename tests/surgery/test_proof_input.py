"""The proof runs on a smaller picture where the network is the same there, else on its own."""

from __future__ import annotations

import copy

import networks
import pytest
from coupling_networks import Recurrent, TwoInputs
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.proof_input import graph_for_proof
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


class TooSmall(networks.Plain):
    """At a side of 96 the last of its maps would be empty."""

    def forward(self, x):
        return super().forward(x[:, :, 100:, 100:])


@pytest.mark.parametrize(
    ("model", "shape", "proved_on"),
    [
        (networks.Plain(), (3, 224, 224), [(3, 96, 96)]),
        (networks.Plain(), (3, 96, 500), [(3, 96, 96)]),
        # fewer positions by less than four
        (networks.Plain(), (3, 190, 190), [(3, 190, 190)]),
        (networks.Plain(), (3, 8, 8), [(3, 8, 8)]),
        # 128 fits where 96 does not
        (TooSmall(), (3, 300, 300), [(3, 128, 128)]),
        (FixedSize(), (3, 224, 224), [(3, 224, 224)]),
        (OtherCourse(), (3, 224, 224), [(3, 224, 224)]),
        (TwoInputs(), (3, 224, 224), [(3, 96, 96), (3, 96, 96)]),
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
    assert "random input of 3x96x96" in found.method
    assert found.equivalent
    other = carry_out(make_plan(graph, {"stem": [1], "inner": [0, 5]}).plan, copy.deepcopy(model))
    assert not verify(graph, model, other, removed).equivalent
