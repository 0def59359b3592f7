"""Second-order estimates against hand arithmetic, explicit matrices, and slow references end to end."""

from __future__ import annotations

import networks
import pytest
import torch
from calibration.scenes import data, gathered, one_by_one, scene_of, weight_gradients
from criteria.complete import complete
from torch.nn import functional

from prunecli.criteria.contract import CRITERIA, Evidence, Needs
from prunecli.criteria.curvature import (
    block_fisher,
    coupled_fisher,
    kronecker_brain_damage,
    mask_fisher,
    optimal_brain_damage,
)
from prunecli.criteria.evidence import ChannelCost, GateGradientEvidence, OutputEvidence
from prunecli.criteria.taylor import gate_taylor
from prunecli.scoring.channel_cost import channel_cost

SLOPES = torch.tensor([[4.0, -2.0], [-8.0, 2.0], [0.0, 6.0]])
GATES = GateGradientEvidence(per_image=SLOPES, coupled=2 * SLOPES, positions=2, batch_sizes=(2, 1))
WEIGHT = torch.tensor([[1.0, 2.0], [0.0, -3.0]])


def evidence(**given):
    return Evidence(layer="conv", weight=WEIGHT, kernel_shape=(2, 2), **given)


def test_fisher_mask_adds_the_squares_of_batches_and_orders_as_gate_taylor():
    scores = mask_fisher(evidence(gate_gradient=GATES))
    assert scores.tolist() == [4.0, 36.0]
    assert torch.equal(scores, 2 * gate_taylor(evidence(gate_gradient=GATES)))


def test_group_fisher_squares_image_by_image_and_divides_by_the_memory():
    given = evidence(gate_gradient=GATES, cost=ChannelCost(macs=9.0, params=9.0, activations=16.0))
    assert coupled_fisher(given).tolist() == [4 * 80 / 16, 4 * 44 / 16]


def test_group_fisher_from_images_is_that_of_one_gate_on_all_that_leaves():
    scene = scene_of(networks.Residual())
    found = gathered(scene, data(), Needs.GATE_GRADIENT)
    model = scene.model.requires_grad_(False)
    total = torch.zeros(8, dtype=torch.float64)
    for image, label in one_by_one(data()):
        gate = torch.ones(8, 1, 1, dtype=torch.float64, requires_grad=True)
        x = functional.relu(model.stem(image)) * gate
        x = functional.relu(x + model.outer(functional.relu(model.inner(x))) * gate)
        functional.cross_entropy(model.head(x), label).backward()
        total += gate.grad.flatten().square()
    for layer in ("stem", "outer"):
        cost = channel_cost(scene.graph, scene.layers[layer])
        given = Evidence(layer=layer, weight=scene.weight(layer), kernel_shape=(), cost=cost, **found[layer])
        # A channel of the group goes through two maps of 8 × 8.
        torch.testing.assert_close(coupled_fisher(given), total / 128)


def test_hessian_diag_is_half_the_curvature():
    assert optimal_brain_damage(evidence(curvature=torch.tensor([3.0, 8.0]))).tolist() == [1.5, 4.0]


def test_hessian_diag_from_images_is_half_the_squared_weight_times_the_mean_squared_gradient():
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.CURVATURE)
    for layer, name in (("conv1", "conv1.weight"), ("head.linear", "head.linear.weight")):
        diagonal = weight_gradients(scene.model, name, data()).square().mean(0)
        weight = scene.weight(layer)
        expected = (diagonal.flatten(1) * weight.square()).sum(1) / 2
        given = Evidence(layer=layer, weight=weight, kernel_shape=(), **found[layer])
        torch.testing.assert_close(optimal_brain_damage(given), expected)


def test_obdc_of_two_energies():
    output = OutputEvidence(
        torch.tensor([4.0, 6.0]), torch.tensor([3.0, 1.0]), torch.zeros(1, 2), positions=3
    )
    assert kronecker_brain_damage(evidence(output=output)).tolist() == [2.0, 1.0]


def test_obdc_from_images_is_the_quadratic_form_of_the_kronecker_product():
    # A: second moment of patches summed over positions; G: of gradients at outputs, averaged over them.
    scene = scene_of(networks.Plain())
    model = scene.model.requires_grad_(False)
    found = gathered(scene, data(), Needs.OUTPUT)["conv2"]
    inputs = torch.zeros(72, 72, dtype=torch.float64)
    slopes = torch.zeros(6, 6, dtype=torch.float64)
    for image, label in one_by_one(data()):
        read = functional.relu(model.bn1(model.conv1(image)))
        output = model.conv2(read).requires_grad_(True)
        functional.cross_entropy(model.head(output), label).backward()
        patches, slope = functional.unfold(read, 3, padding=1)[0], output.grad[0].flatten(1)
        inputs += patches @ patches.T / 5
        slopes += slope @ slope.T / (5 * 64)
    fisher = torch.kron(slopes, inputs)  # of the weight, filter by filter
    expected = []
    for index in range(6):
        change = torch.zeros(6, 72, dtype=torch.float64)
        change[index] = -scene.weight("conv2")[index]
        expected.append(change.flatten() @ fisher @ change.flatten() / 2)
    given = Evidence(layer="conv2", weight=scene.weight("conv2"), kernel_shape=(), **found)
    torch.testing.assert_close(kronecker_brain_damage(given), torch.stack(expected))
    # In the eigenbasis of both factors the same change costs the same.
    left, right = (torch.linalg.eigh(each) for each in (slopes, inputs))
    turned = left.eigenvectors.T @ change @ right.eigenvectors
    again = (turned.square() * left.eigenvalues[:, None] * right.eigenvalues).sum() / 2
    torch.testing.assert_close(again, expected[-1])


def test_woodfisher_by_hand():
    output = OutputEvidence(torch.ones(2), torch.ones(2), torch.tensor([[1.0, 0.0], [3.0, 4.0]]), positions=1)
    scores = block_fisher(evidence(output=output))
    torch.testing.assert_close(scores, torch.tensor([2.5 + 0.5e-5 * 5, 4.0 + 0.5e-5 * 9]))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "head.linear"])
def test_woodfisher_from_images_is_that_of_inverted_matrices(layer):
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.OUTPUT)[layer]
    weight = scene.weight(layer)
    slopes = weight_gradients(scene.model, scene.layers[layer].weight, data()).flatten(2)
    expected = []
    for index, row in enumerate(weight):
        fisher = slopes[:, index].T @ slopes[:, index] / len(slopes)
        inverse = torch.linalg.inv(fisher + 1e-5 * torch.eye(len(row), dtype=torch.float64))
        expected.append(row @ torch.linalg.inv(inverse) @ row / 2)
    given = Evidence(layer=layer, weight=weight, kernel_shape=(), **found)
    torch.testing.assert_close(block_fisher(given), torch.stack(expected), rtol=1e-5, atol=1e-12)


def test_woodfisher_of_one_weight_is_optimal_brain_surgery():
    # Of a block of one weight, w² / (2 [F⁻¹]_ww) is ½ w² (F + λ).
    weight = torch.tensor([[3.0]])
    output = OutputEvidence(torch.ones(1), torch.ones(1), torch.tensor([[6.0], [0.0]]), positions=1)
    scores = block_fisher(Evidence(layer="conv", weight=weight, kernel_shape=(1, 1), output=output))
    fisher = (2.0**2 + 0) / 2  # the gradients are 6 / 3 and 0
    assert scores.item() == pytest.approx(9 / (2 / (fisher + 1e-5)))


@pytest.mark.parametrize("name", ["fisher_mask", "group_fisher", "hessian_diag", "obdc", "woodfisher"])
def test_a_dead_channel_scores_zero_and_squares_stay_in_range(name):
    assert CRITERIA[name].function(complete(zero=4))[4] == 0
    assert CRITERIA[name].zero_is_lowest
    large = complete(dtype=torch.float64)
    assert (CRITERIA[name].function(large) >= 0).all()


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("fisher_mask", "gate_gradient"),
        ("group_fisher", "gate_gradient"),
        ("group_fisher", "cost"),
        ("hessian_diag", "curvature"),
        ("obdc", "output"),
        ("woodfisher", "output"),
    ],
)
def test_a_layer_without_the_evidence_has_no_score(name, attribute):
    given = complete(without={attribute})
    assert not CRITERIA[name].available(given)
    with pytest.raises(ValueError, match=r"ask Criterion\.available first"):
        CRITERIA[name].function(given)
