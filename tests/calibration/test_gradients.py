"""Gradients at weights: of the mean loss, of batches, and squared image by image."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import (
    Tokens,
    Windows,
    classify,
    data,
    gathered,
    mean_loss,
    scene_of,
    weight_gradients,
)
from torch import nn

from prunecli.criteria.contract import Needs


class Convolved(nn.Module):
    """One layer of the given kind between two plain ones, on one to three spatial dimensions."""

    def __init__(self, layer, *, into=6, out=8, dimensions=2):
        super().__init__()
        self.dimensions = dimensions
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
        self.stem = kind(3, into, 1)
        self.layer = layer
        self.linear = nn.Linear(out, 5)

    def forward(self, x):
        x = {1: x.flatten(2), 2: x, 3: x.reshape(*x.shape[:2], 4, 4, 4)}[self.dimensions]
        return self.linear(torch.tanh(self.layer(torch.tanh(self.stem(x)))).flatten(2).mean(2))


LAYERS = {
    "stride": lambda: Convolved(nn.Conv2d(6, 8, 3, stride=2, padding=1)),
    "rectangle": lambda: Convolved(nn.Conv2d(6, 8, (1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2))),
    "dilation": lambda: Convolved(nn.Conv2d(6, 8, 3, dilation=2, padding=2)),
    "same": lambda: Convolved(nn.Conv2d(6, 8, 3, padding="same")),
    "same, even kernel": lambda: Convolved(nn.Conv2d(6, 8, (4, 2), padding="same", dilation=(1, 3))),
    "valid": lambda: Convolved(nn.Conv2d(6, 8, 3, padding="valid")),
    "reflected": lambda: Convolved(nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect")),
    "grouped": lambda: Convolved(nn.Conv2d(6, 8, 3, groups=2)),
    "depthwise": lambda: Convolved(nn.Conv2d(6, 12, 3, groups=6), out=12),
    "transposed": lambda: Convolved(nn.ConvTranspose2d(6, 8, 3, stride=2, padding=1, output_padding=1)),
    "transposed, dilated": lambda: Convolved(nn.ConvTranspose2d(6, 8, 2, dilation=2)),
    "one dimension": lambda: Convolved(nn.Conv1d(6, 8, 3, stride=2), dimensions=1),
    "three dimensions": lambda: Convolved(nn.Conv3d(6, 8, 2, padding=1), dimensions=3),
}


def slow_curvature(scene, layer, batches):
    gradients = weight_gradients(scene.model, scene.layers[layer].weight, batches)
    rows = torch.stack([scene.rows(layer, each) for each in gradients])
    return (scene.weight(layer) * rows).square().sum(2).mean(0)


@pytest.mark.parametrize("name", LAYERS)
def test_curvature_of_every_kind_of_convolution(name):
    scene = scene_of(LAYERS[name]())
    found = gathered(scene, data(), Needs.CURVATURE)
    torch.testing.assert_close(found["layer"]["curvature"], slow_curvature(scene, "layer", data()))


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (networks.Plain, "head.linear"),
        (Tokens, "hidden"),
        (Windows, "inside"),
        (networks.SharedLayer, "cell"),
        (networks.TiedWeights, "again"),
        (networks.FusedAttention, "qkv"),
    ],
)
def test_curvature_of_linear_and_of_shared_layers(make, layer):
    scene = scene_of(make())
    found = gathered(scene, data(), Needs.CURVATURE)
    torch.testing.assert_close(found[layer]["curvature"], slow_curvature(scene, layer, data()))


def test_calls_add_up_before_they_are_squared():
    # One cell called twice with opposite signs in front of the loss: its gradients cancel.
    class Cancelling(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Conv2d(3, 4, 3)
            self.linear = nn.Linear(4, 5)

        def forward(self, x):
            return self.linear((self.cell(x) - self.cell(x)).mean((2, 3)))

    found = gathered(scene_of(Cancelling()), data(), Needs.CURVATURE)["cell"]["curvature"]
    assert torch.equal(found, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize(
    "make", [networks.Plain, networks.SharedLayer, networks.Transposed, networks.TorchAttention]
)
def test_the_mean_gradient_is_that_of_the_mean_loss(make):
    scene = scene_of(make())
    found = gathered(scene, data(), Needs.WEIGHT_GRADIENT)
    model = copy.deepcopy(scene.model).requires_grad_(True)
    mean_loss(model, data()).backward()
    for layer in scene.layers.values():
        expected = scene.rows(layer.name, model.get_parameter(layer.weight).grad)
        torch.testing.assert_close(found[layer.name]["weight_gradient"].mean, expected)


def test_products_are_of_each_batch_s_mean_loss():
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.WEIGHT_GRADIENT | Needs.NORM_PRODUCTS)["conv1"]
    for index, (images, labels) in enumerate(data()):
        model = copy.deepcopy(scene.model).requires_grad_(True)
        classify(model, images, labels).each.mean().backward()
        weight, norm = model.conv1.weight, model.bn1
        expected = (weight * weight.grad).detach().flatten(1).sum(1)
        torch.testing.assert_close(found["weight_gradient"].products[index], expected)
        expected = (norm.weight * norm.weight.grad + norm.bias * norm.bias.grad).detach()
        torch.testing.assert_close(found["norm_products"][index], expected)


def test_tied_weights_are_counted_once():
    scene = scene_of(networks.TiedWeights())
    found = gathered(scene, data(), Needs.WEIGHT_GRADIENT)
    total = weight_gradients(scene.model, "first.weight", data()).mean(0)
    torch.testing.assert_close(found["first"]["weight_gradient"].mean, total)
    torch.testing.assert_close(found["again"]["weight_gradient"].mean, total)


def test_layers_without_an_affine_norm_or_without_gradient_are_left_out():
    class Bare(networks.Plain):
        def __init__(self):
            super().__init__()
            self.bn1 = nn.BatchNorm2d(8, affine=False)

    found = gathered(scene_of(Bare()), data(), Needs.NORM_PRODUCTS)
    assert not any(found.values())
    found = gathered(scene_of(networks.TwoOutputs()), data(), Needs.WEIGHT_GRADIENT)
    assert "weight_gradient" not in found["features"]
    assert "weight_gradient" in found["stem"]
