"""Where a forward asks for float32 or drops numbers at random, the proof compares in float64, exactly."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import Exactly, verify


class AsksForFloat(nn.Module):
    """Sums over a hundred channels in float32, whatever type the weights have."""

    def __init__(self):
        super().__init__()
        self.conv2, self.linear = nn.Conv2d(3, 100, 3), nn.Linear(100, 5)

    def forward(self, x):
        x = self.conv2(x).mean((2, 3)).float()
        return functional.linear(x, self.linear.weight.float()).to(self.linear.weight.dtype)


class MakesFloat(networks.Plain):
    """Channels that stay meet thirds that would be float32."""

    def forward(self, x):
        ramp = torch.arange(8, dtype=torch.float32, device=x.device)[:, None, None] / 3
        return self.head(self.conv2(self.bn1(self.conv1(x)) * ramp))


class DropsInside(networks.Plain):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = functional.dropout(self.dropout(self.conv1(x)), 0.3, training=self.training)
        return self.head(functional.alpha_dropout(self.conv2(x), 0.2, training=self.training))


@pytest.mark.parametrize("network", [AsksForFloat, MakesFloat, DropsInside])
def test_the_proof_is_exact(network):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    removed = {group.name: [1, 5] for group in graph.prunable}
    assert "conv2" in removed
    small = carry_out(make_plan(graph, removed).plan, copy.deepcopy(model))
    found = verify(graph, model, small, removed)
    assert found.equivalent
    assert found.max_rel_error < 1e-13  # of float32 it would be some 1e-8


def test_numbers_that_a_forward_rounds_are_not_rounded():
    third = torch.tensor(1 / 3, dtype=torch.float64)
    with Exactly():
        assert float(third.float() - third) == 0
        assert torch.zeros(1, dtype=torch.float32).dtype == torch.float64
        assert third.to(torch.bfloat16).dtype == torch.bfloat16  # rounding that was asked for by name stays
    assert float(third.float() - third) != 0


def test_nothing_is_dropped():
    x = torch.arange(1, 5, dtype=torch.float64)
    with Exactly():
        assert torch.equal(functional.dropout(x, 0.5) / functional.dropout(torch.ones_like(x), 0.5), x)
        assert bool((torch.empty(100).bernoulli_(0.1) == 1).all())
    assert not bool((torch.empty(100).bernoulli_(0.1) == 1).all())
