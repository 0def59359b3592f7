"""Hessian times gradient, against the whole Hessian matrix and against differences of gradients."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import Block, data, gathered, mean_loss, one_by_one, scene_of
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from prunecli.criteria.contract import Needs


class Small(nn.Module):
    """Few enough weights to write their Hessian down: 6·3 + 5·6 + 4."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        return self.linear(torch.tanh(self.norm(self.conv(x))).mean((2, 3)))


def products_of(scene, batches):
    return {
        layer: evidence.get("hessian_product")
        for layer, evidence in gathered(scene, batches, Needs.HESSIAN_PRODUCT).items()
    }


def test_against_the_matrix_of_all_weights():
    scene = scene_of(Small())
    model = scene.model
    names = ["conv.weight", "linear.weight"]
    shapes = [model.get_parameter(name).shape for name in names]
    flat = torch.cat([model.get_parameter(name).detach().flatten() for name in names])
    images, labels = (torch.cat(parts) for parts in zip(*data(), strict=True))

    def loss(weights):
        parts = weights.split([shape.numel() for shape in shapes])
        values = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return functional.cross_entropy(functional_call(model, values, (images,)), labels)

    hessian = torch.autograd.functional.hessian(loss, flat)
    gradient = torch.func.grad(loss)(flat)
    terms = (flat * (hessian @ gradient)).split([shape.numel() for shape in shapes])
    found = products_of(scene, data())
    torch.testing.assert_close(found["conv"], terms[0].reshape(6, -1).sum(1))
    torch.testing.assert_close(found["linear"], terms[1].reshape(5, -1).sum(1))


@pytest.mark.parametrize("make", [Small, networks.SharedLayer, networks.Transposed, networks.FusedAttention])
def test_against_the_difference_of_two_gradients(make):
    scene = scene_of(make())
    names = list(dict.fromkeys(layer.weight for layer in scene.layers.values()))

    def gradient(model):
        parameters = dict(model.named_parameters())
        return torch.autograd.grad(mean_loss(model, data()), [parameters[name] for name in names])

    plain = gradient(copy.deepcopy(scene.model).requires_grad_(True))
    step = 1e-6
    moved = []
    for sign in (1, -1):
        model = copy.deepcopy(scene.model).requires_grad_(True)
        with torch.no_grad():
            for name, slope in zip(names, plain, strict=True):
                model.get_parameter(name).add_(slope, alpha=sign * step)
        moved.append(gradient(model))
    along = [(up - down) / (2 * step) for up, down in zip(*moved, strict=True)]
    terms = dict(zip(names, along, strict=True))
    for layer, found in products_of(scene, data()).items():
        rows = scene.rows(layer, terms[scene.layers[layer].weight])
        torch.testing.assert_close(found, (scene.weight(layer) * rows).sum(1), rtol=1e-4, atol=1e-8)


def test_batches_change_nothing():
    scene = scene_of(Block())
    plain, alone = products_of(scene, data()), products_of(scene, one_by_one(data()))
    for layer, product in plain.items():
        torch.testing.assert_close(alone[layer], product)


def test_fused_attention_has_a_second_derivative_here():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 4, stride=4)
            self.linear = nn.Linear(8, 5)

        def forward(self, x):
            x = self.embed(x).flatten(2).transpose(1, 2)[:, None]
            return self.linear(functional.scaled_dot_product_attention(x, x, x)[:, 0].mean(1))

    found = products_of(scene_of(Fused()), data())
    assert found["embed"].abs().min() > 0


def test_a_function_without_a_second_derivative_leaves_all_layers_out():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient * 2

    class Doubled(Small):
        def forward(self, x):
            return self.linear(Once.apply(torch.tanh(self.norm(self.conv(x)))).mean((2, 3)))

    assert not any(gathered(scene_of(Doubled()), data(), Needs.HESSIAN_PRODUCT).values())
