"""Energies of linear outputs and of the gradients there, against hooks on single images."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import Tokens, classify, data, gathered, one_by_one, scene_of

from prunecli.criteria.contract import Needs


def slow(model, module, batches, *, axis):
    """Mean energies of output without bias and of its gradient, and their products, one image at a time."""
    model = copy.deepcopy(model).requires_grad_(True)
    layer = model.get_submodule(module)
    rows = []
    for image, label in one_by_one(batches):
        outputs = []
        hook = layer.register_forward_hook(lambda m, args, output, kept=outputs: kept.append(output))
        loss = classify(model, image, label).each.sum()
        hook.remove()
        slopes = torch.autograd.grad(loss, outputs)
        flat = []
        for output, slope in zip(outputs, slopes, strict=True):
            z, g = (each.detach().movedim(axis, 0).flatten(1) for each in (output, slope))
            flat.append((z if layer.bias is None else z - layer.bias.detach()[:, None], g))
        z, g = (torch.cat(parts, dim=1) for parts in zip(*flat, strict=True))
        rows.append((z.square().sum(1), g.square().sum(1), (z * g).sum(1), z.shape[1]))
    energy, gradient, products = (torch.stack(parts) for parts in list(zip(*rows, strict=True))[:3])
    return energy.mean(0), gradient.mean(0), products, rows[0][3]


@pytest.mark.parametrize(
    ("make", "layer", "axis"),
    [
        (networks.Plain, "conv1", 1),  # no bias, a batch norm behind it
        (networks.Plain, "conv2", 1),
        (networks.Plain, "head.linear", -1),
        (networks.SharedLayer, "cell", 1),
        (networks.Depthwise, "depthwise", 1),
        (networks.Transposed, "up", 1),
        (Tokens, "hidden", -1),
    ],
)
def test_energies_and_products_are_those_of_hooks(make, layer, axis):
    scene = scene_of(make())
    found = gathered(scene, data(), Needs.OUTPUT)[layer]["output"]
    energy, gradient, products, positions = slow(scene.model, layer, data(), axis=axis)
    torch.testing.assert_close(found.energy, energy)
    torch.testing.assert_close(found.gradient_energy, gradient)
    torch.testing.assert_close(found.products, products)
    assert found.positions == positions


def test_the_bias_is_no_part_of_the_energy():
    scene = scene_of(networks.Plain())
    plain = gathered(scene, data(), Needs.OUTPUT)["conv2"]["output"].energy
    with torch.no_grad():
        scene.model.conv2.bias += 100
    torch.testing.assert_close(gathered(scene, data(), Needs.OUTPUT)["conv2"]["output"].energy, plain)


def test_a_filter_of_zeros_has_no_energy():
    scene = scene_of(networks.Plain())
    with torch.no_grad():
        scene.model.conv2.weight[2] = 0
    found = gathered(scene, data(), Needs.OUTPUT)["conv2"]["output"]
    assert found.energy[2].abs() < 1e-25
    assert found.products[:, 2].abs().max() < 1e-15
    assert found.gradient_energy[2] > 0
