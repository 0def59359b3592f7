"""The masked run holds no more than the network itself does, and knows a weight by its name."""

from __future__ import annotations

import weakref

import networks
import torch
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.masked import run_masked


class Watched(nn.Module):
    """Notes how many of its activations are alive after each layer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(networks.conv(3 if not i else 8, 8) for i in range(6))
        self.head = networks.Head(8)
        self.alive = []

    def forward(self, x):
        made = []
        for layer in self.layers:
            x = layer(x).relu()
            made.append(weakref.ref(x))
            self.alive.append(sum(each() is not None for each in made))
        return self.head(x)


def test_activations_are_forgotten_with_the_network():
    model = Watched().double()
    graph = build_graph(model, (3, 8, 8))
    model.alive.clear()
    marked = graph.marked({group.name: [0, 3] for group in graph.prunable})
    assert marked.any()
    run_masked(graph, model, [torch.randn(2, 3, 8, 8, dtype=torch.float64)], marked, trace=0)
    assert model.alive == [1] * 6


def test_removed_channels_are_in_no_sum():
    model = networks.randomised(networks.Plain()).double().eval()
    graph = build_graph(model, (3, 8, 8))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    found = run_masked(graph, model, [x], graph.marked({"conv1": [1, 2]}), trace=0)
    with torch.no_grad():
        model.conv2.weight[:, [1, 2]] = 0
        torch.testing.assert_close(found, model(x))
