"""The yardsticks, and the integral whose sum is one."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import data, gathered, mean_loss, scene_of
from criteria.complete import complete

from prunecli.criteria.ablation import accuracy_fall, integrated_gradients, loss_increase
from prunecli.criteria.contract import CRITERIA, Evidence, Needs
from prunecli.criteria.evidence import AblationEvidence


def evidence(**given):
    return Evidence(layer="conv", weight=torch.ones(3, 2), kernel_shape=(3, 2), **given)


def test_what_was_measured_is_the_score():
    measured = AblationEvidence(loss=torch.tensor([0.5, -0.1, 0.0]), accuracy=torch.tensor([20.0, 0.0, -5.0]))
    torch.testing.assert_close(loss_increase(evidence(ablation=measured)), torch.tensor([0.5, -0.1, 0.0]))
    assert accuracy_fall(evidence(ablation=measured)).tolist() == [20.0, 0.0, -5.0]


def test_the_path_is_walked_from_open_to_closed():
    assert integrated_gradients(evidence(gate_path=torch.tensor([-2.0, 0.5, 0.0]))).tolist() == [
        2.0,
        -0.5,
        0.0,
    ]


def test_ig_of_a_layer_adds_up_to_what_silencing_it_costs():
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.GATE_PATH)["conv2"]
    model = copy.deepcopy(scene.model)
    with torch.no_grad():
        model.conv2.weight.zero_()
        model.conv2.bias.zero_()
        cost = mean_loss(model, data()) - mean_loss(scene.model, data())
    given = Evidence(layer="conv2", weight=scene.weight("conv2"), kernel_shape=(), **found)
    torch.testing.assert_close(integrated_gradients(given).sum(), cost, rtol=1e-3, atol=1e-6)


def test_ig_from_images_is_the_integral_of_differences():
    # Gates on conv2's map are factors of its weights and bias: slopes by moving one of them at every level.
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.GATE_PATH)["conv2"]
    total = torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        for step in range(20):
            level = (step + 0.5) / 20
            for channel in range(6):
                losses = []
                for sign in (1, -1):
                    model = copy.deepcopy(scene.model)
                    gates = torch.full((6,), level, dtype=torch.float64)
                    gates[channel] += sign * 1e-4
                    model.conv2.weight.mul_(gates[:, None, None, None])
                    model.conv2.bias.mul_(gates)
                    losses.append(mean_loss(model, data()))
                total[channel] -= (losses[0] - losses[1]) / 2e-4 / 20
    given = Evidence(layer="conv2", weight=scene.weight("conv2"), kernel_shape=(), **found)
    torch.testing.assert_close(integrated_gradients(given), total, rtol=1e-5, atol=1e-9)


def test_the_sign_of_ig_is_that_of_the_oracle_when_one_filter_does_all():
    class Single(networks.Plain):
        def __init__(self):
            super().__init__()
            self.conv2 = networks.conv(8, 1)
            self.head = networks.Head(1)

    scene = scene_of(Single())
    found = gathered(scene, data(), Needs.GATE_PATH | Needs.ABLATION)["conv2"]
    given = Evidence(layer="conv2", weight=scene.weight("conv2"), kernel_shape=(), **found)
    torch.testing.assert_close(integrated_gradients(given), loss_increase(given), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "attribute"), [("oracle", "ablation"), ("ablation_acc", "ablation"), ("ig", "gate_path")]
)
def test_a_layer_without_the_evidence_has_no_score(name, attribute):
    given = complete(without={attribute})
    assert not CRITERIA[name].available(given)
    with pytest.raises(ValueError, match=r"ask Criterion\.available first"):
        CRITERIA[name].function(given)
