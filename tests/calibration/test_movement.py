"""Movement, against torch's own optimizer on a copy."""

from __future__ import annotations

import copy

import networks
import torch
from calibration.scenes import Block, classify, data, gathered, scene_of

from prunecli.calibration.movement import observe_movement
from prunecli.criteria.contract import Needs


def slow(scene, batches):
    model = copy.deepcopy(scene.model).eval().requires_grad_(True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    totals = {layer: torch.zeros(each.channels, dtype=torch.float64) for layer, each in scene.layers.items()}
    for images, labels in batches:
        optimizer.zero_grad()
        classify(model, images, labels).each.mean().backward()
        for layer, each in scene.layers.items():
            weight = model.get_parameter(each.weight)
            totals[layer] -= scene.rows(layer, (weight * weight.grad).detach()).sum(1)
        optimizer.step()
    return totals


def test_the_steps_are_those_of_plain_descent():
    for make in (Block, networks.SharedLayer, networks.Transposed):
        scene = scene_of(make())
        batches = data() + data(seed=2) + data(seed=3)
        expected = slow(scene, batches)
        found = gathered(scene, batches, Needs.MOVEMENT)
        for layer, total in expected.items():
            torch.testing.assert_close(found[layer]["movement"], total)


def test_only_a_copy_is_trained():
    scene = scene_of(Block())
    before = {name: tensor.clone() for name, tensor in scene.model.state_dict().items()}
    observe_movement(scene, data(), classify)
    assert all(torch.equal(before[name], tensor) for name, tensor in scene.model.state_dict().items())
    assert all(parameter.grad is None for parameter in scene.model.parameters())


def test_a_weight_that_grows_away_from_zero_has_positive_movement():
    scene = scene_of(networks.Plain())
    batches = data() * 20
    trained = copy.deepcopy(scene.model).eval().requires_grad_(True)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)
    for images, labels in batches:
        optimizer.zero_grad()
        classify(trained, images, labels).each.mean().backward()
        optimizer.step()
    name = scene.layers["head.linear"].weight
    energy = [model.get_parameter(name).detach().square().sum(1) for model in (scene.model, trained)]
    moved = observe_movement(scene, batches, classify)["head.linear"]
    # d‖w‖²/dt = −2 w·g: the movement times twice the rate is the growth of the energy, to first order.
    torch.testing.assert_close(0.02 * moved, energy[1] - energy[0], rtol=0.05, atol=1e-3)


def test_a_training_that_diverges_says_nothing():
    scene = scene_of(networks.Plain())
    with torch.no_grad():
        scene.model.head.linear.weight.mul_(1e200)
    assert observe_movement(scene, data() * 3, classify) == {}
