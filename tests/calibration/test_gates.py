"""Slopes along gates, alone and on all that leaves together."""

from __future__ import annotations

import networks
import torch
from calibration.scenes import classify, data, gathered, one_by_one, scene_of, slopes_of_gates
from torch import nn
from torch.nn import functional

from prunecli.criteria.contract import Needs


def gates_of(scene, batches=None):
    found = gathered(scene, batches or data(), Needs.GATE_GRADIENT)
    return {layer: evidence.get("gate_gradient") for layer, evidence in found.items()}


def test_a_gate_behind_batch_norm_and_rectifier():
    class Modules(networks.Plain):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.head(self.conv2(self.act(self.bn1(self.conv1(x)))))

    scene = scene_of(Modules())
    found = gates_of(scene)["conv1"]
    torch.testing.assert_close(found.per_image, slopes_of_gates(scene.model, ["act"], data(), 8))
    assert found.positions == 64
    assert found.batch_sizes == (2, 3)


def test_layers_that_leave_together_share_a_gate():
    # The stem's map and the outer convolution's are added up: the reference puts one gate on both, by hand.
    scene = scene_of(networks.Residual())
    model = scene.model.requires_grad_(False)
    rows = []
    for image, label in one_by_one(data()):
        gate = torch.ones(8, 1, 1, dtype=torch.float64, requires_grad=True)
        x = functional.relu(model.stem(image)) * gate
        x = functional.relu(x + model.outer(functional.relu(model.inner(x))) * gate)
        loss = functional.cross_entropy(model.head(x), label)
        rows.append(torch.autograd.grad(loss, gate)[0].flatten())
    found = gates_of(scene)
    torch.testing.assert_close(found["stem"].coupled, torch.stack(rows))
    torch.testing.assert_close(found["outer"].coupled, torch.stack(rows))
    assert not torch.allclose(found["stem"].coupled, found["stem"].per_image)
    torch.testing.assert_close(found["inner"].coupled, found["inner"].per_image)


def test_a_layer_at_an_offset_adds_only_to_the_filters_that_it_leaves_with():
    scene = scene_of(networks.PaddedShortcut())
    found = gates_of(scene)
    total = found["down"].per_image.clone()
    total[:, 2:6] += found["stem"].per_image
    torch.testing.assert_close(found["down"].coupled, total)
    torch.testing.assert_close(
        found["stem"].coupled, found["stem"].per_image + found["down"].per_image[:, 2:6]
    )


def test_a_dead_rectifier_has_no_slope():
    scene = scene_of(networks.Plain())
    with torch.no_grad():
        scene.model.bn1.weight[3] = 0.5
        scene.model.bn1.bias[3] = -1000
    found = gates_of(scene)["conv1"]
    assert torch.equal(found.per_image[:, 3], torch.zeros(5, dtype=torch.float64))
    assert (found.per_image[:, :3].abs().sum(0) > 0).all()


def test_what_does_not_reach_the_loss_has_no_gate():
    found = gates_of(scene_of(networks.TwoOutputs()))
    assert found["features"] is None
    assert found["stem"] is not None


def test_the_slope_is_that_of_the_loss():
    scene = scene_of(networks.Plain(), seed=3)
    slopes = gates_of(scene)["conv2"].per_image
    # conv2's map goes straight into a linear head: a gate of 1 + ε is conv2 scaled by it.
    change = torch.zeros_like(slopes)
    step = 1e-5
    for channel in range(6):
        for sign in (1, -1):
            with torch.no_grad():
                for tensor in (scene.model.conv2.weight, scene.model.conv2.bias):
                    tensor[channel] *= 1 + sign * step
                losses = [classify(scene.model, *each).each for each in one_by_one(data())]
                change[:, channel] += sign * torch.cat(losses) / (2 * step)
                for tensor in (scene.model.conv2.weight, scene.model.conv2.bias):
                    tensor[channel] /= 1 + sign * step
    torch.testing.assert_close(slopes, change, rtol=1e-6, atol=1e-8)
