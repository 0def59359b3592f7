"""Layers are found by their class, and by the weights that convolutions and products use."""

from __future__ import annotations

import networks
import pytest
import torch
from coupling_networks import Einsum, Functional, Parametrised, Positive, TokenMixing
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from prunecli.architectures.vision_operators import import_torchvision
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.layers import holder_of

SHAPE = (3, 8, 8)


def layers(model, shape=SHAPE):
    return {
        each.name: (each.type, each.weight, each.bias, each.filter_axis, each.channels)
        for each in build_graph(model, shape).layers
    }


class OwnLayers(nn.Module):
    """Modules that are no layers of torch, and use their weight through a function."""

    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.shift = nn.Parameter(torch.zeros(8, 3, 3, 3)), nn.Parameter(torch.zeros(8))

        def forward(self, x):
            return functional.conv2d(x, self.weight, self.shift)

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(5, 8))

        def forward(self, x):
            return functional.linear(x, self.weight)

    class Up(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 6, 2, 2))

        def forward(self, x):
            return functional.conv_transpose2d(x, self.weight, stride=2)

    def __init__(self):
        super().__init__()
        self.stem, self.up, self.head = self.Convolution(), self.Up(), nn.Linear(6, 8)
        self.last = self.Linear()

    def forward(self, x):
        return self.last(self.head(self.up(self.stem(x)).mean((2, 3))))


def test_modules_that_use_their_weight_through_a_function():
    assert layers(OwnLayers()) == {
        "head": ("Linear", "head.weight", "head.bias", 0, 8),
        "stem": ("Convolution", "stem.weight", "stem.shift", 0, 8),
        "up": ("Up", "up.weight", None, 1, 6),
        "last": ("Linear", "last.weight", None, 0, 5),
    }


def test_bare_parameters_have_their_own_names():
    assert layers(Functional()) == {
        "kernel": ("Functional", "kernel", "shift", 0, 8),
        "matrix": ("Functional", "matrix", None, 0, 6),
        "last": ("Functional", "last", None, 0, 5),
    }
    graph = build_graph(Functional(), SHAPE)
    assert [layer.bare for layer in graph.layers] == [True, True, True]
    assert [layer.module(graph.model) for layer in graph.layers] == [graph.model] * 3


def test_conv1d_of_transformers_counts_filters_on_its_second_axis():
    import_torchvision()
    utilities = pytest.importorskip("transformers.pytorch_utils")
    model = nn.Sequential(nn.Linear(6, 4), utilities.Conv1D(10, 4), nn.ReLU(), utilities.Conv1D(5, 10))
    found = layers(model, (7, 6))
    assert found["1"] == ("Conv1D", "1.weight", "1.bias", 1, 10)
    groups = {group.name: group.channels for group in build_graph(model, (7, 6)).prunable}
    assert groups == {"0": 4, "1": 10}


def test_weights_that_are_computed_anew():
    found = layers(Parametrised())
    assert set(found) == {"stem", "next", "last", "head.linear"}
    assert found["stem"] == ("Conv2d", "stem.parametrizations.weight.original1", "stem.bias", 0, 8)
    assert found["last"] == ("Conv2d", "last.parametrizations.weight.original", "last.bias", 0, 4)
    assert layers(networks.WeightStandardised())["weight"] == ("WeightStandardised", "weight", None, 0, 6)
    assert layers(Einsum())["mix"] == ("Einsum", "mix", None, 0, 6)


def test_a_parametrised_grouped_and_transposed_convolution():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 1),
        parametrize.register_parametrization(nn.Conv2d(16, 16, 3, groups=8), "weight", Positive()),
        parametrize.register_parametrization(nn.ConvTranspose2d(16, 6, 2), "weight", Positive()),
        nn.Conv2d(6, 2, 1),
    )
    found = layers(model)
    assert found["1"][3:] == (0, 16)
    assert found["2"][3:] == (1, 6)


def test_a_gain_of_every_filter_is_no_layer():
    class Gained(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix, self.gain = nn.Parameter(torch.zeros(6, 1)), nn.Parameter(torch.ones(6))

        def forward(self, x):
            return functional.linear(x, self.matrix * self.gain[:, None])

    assert set(layers(Gained(), (7, 1))) == {"matrix"}


def test_what_is_only_added_or_multiplied_is_no_layer():
    assert set(layers(networks.BareParameters())) == {"stem", "head.linear"}
    assert set(layers(TokenMixing())) == {
        "embed",
        "tokens.0",
        "tokens.2",
        "channels.0",
        "channels.2",
        "linear",
    }


@pytest.mark.parametrize(
    ("tensor", "holder"),
    [
        ("a.b.weight", "a.b"),
        ("weight", "weight"),
        ("a.parametrizations.weight.original0", "a"),
        ("a.parametrizations.weight.0.scale", "a"),
    ],
)
def test_the_holder_of_a_tensor(tensor, holder):
    assert holder_of(tensor) == holder
