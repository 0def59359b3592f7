"""Which layer ends a branch, and behind which module all its channels are together."""

from __future__ import annotations

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.graph.branches import branch_ends
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.scattering import scatterable

SHAPE = (3, 8, 8)


def ends(model, shape=SHAPE):
    return {end.layer: end.module for end in branch_ends(build_graph(model, shape))}


class Projected(nn.Module):
    """A block that begins a stream by a projection, written in place."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = networks.conv(3, 6), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = networks.conv(6, 8), nn.BatchNorm2d(8)
        self.short, self.short_bn = networks.conv(3, 8, 1), nn.BatchNorm2d(8)
        self.head = networks.Head(8)

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        y += self.short_bn(self.short(x))
        return self.head(functional.relu(y, inplace=True))


class FunctionalNorm(networks.Residual):
    """A batch norm that is no module: what is scattered before it would be shifted."""

    def forward(self, x):
        x = functional.relu(self.stem(x))
        y = self.outer(functional.relu(self.inner(x)))
        return self.head(
            x + functional.batch_norm(y, torch.zeros(8, device=y.device), torch.ones(8, device=y.device))
        )


class NormedOverChannels(networks.Residual):
    """The branch ends in a norm over its channels; the stem is a layer but no branch."""

    def forward(self, x):
        x = self.stem(x)
        y = self.outer(functional.relu(self.inner(x)))
        return self.head(x + functional.layer_norm(y, y.shape[1:]))


class Parallel(networks.Residual):
    """Two layers that read the same tensor: neither is behind the other."""

    def __init__(self):
        super().__init__()
        self.other = networks.conv(8, 8)
        self.outer = networks.conv(8, 8)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return self.head(self.other(x) + self.outer(x))


class Standardised(networks.Residual):
    """The last weight is computed anew in every pass."""

    class Convolution(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return functional.conv2d(x, weight, self.bias, padding=1)

    def __init__(self):
        super().__init__()
        self.outer = self.Convolution(12, 8, 3)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (networks.Residual, {"outer": "outer"}),
        (networks.PaddedShortcut, {"down": "bn"}),
        (Projected, {"conv2": "bn2"}),
        (Standardised, {"outer": "outer"}),
        (FunctionalNorm, {}),
        (NormedOverChannels, {}),
        (Parallel, {}),
        (networks.Plain, {}),
        (networks.Concatenation, {}),
    ],
)
def test_the_ends_of_branches(model, expected):
    assert ends(model()) == expected


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("cifar/resnet20", 9, ("layer1.0.conv2", "layer1.0.bn2")),
        ("torchvision/resnet50", 16, ("layer1.0.conv3", "layer1.0.bn3")),
        ("torchvision/mobilenet_v2", 10, ("features.3.conv.2", "features.3.conv.3")),
        ("torchvision/convnext_tiny", 18, ("features.1.0.block.5", "features.1.0.block.5")),
    ],
)
def test_known_networks(name, count, first):
    architecture = resolve(name)
    found = ends(build(architecture, initialise=False), architecture.input_shape)
    assert len(found) == count
    assert next(iter(found.items())) == first


def test_a_branch_that_is_scattered_already_is_found_again():
    model = Projected()
    assert ends(scatterable(model, build_graph(model, SHAPE))) == ends(model)
