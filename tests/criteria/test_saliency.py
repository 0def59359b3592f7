"""Gradients at weights: hand arithmetic, a toy whose gradient flow is known, slow references end to end."""

from __future__ import annotations

import networks
import pytest
import torch
from calibration.scenes import classify, data, gathered, mean_loss, one_by_one, scene_of, weight_gradients
from criteria.complete import complete

from prunecli.criteria.contract import CRITERIA, Evidence, Needs
from prunecli.criteria.evidence import WeightGradientEvidence
from prunecli.criteria.norms import l1_norm
from prunecli.criteria.saliency import connection_sensitivity, dual_gradient, gradient_flow, weight_movement
from prunecli.criteria.specification import criterion_named

WEIGHT = torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.0, 0.5]])
SLOPE = torch.tensor([[2.0, 1.0], [-1.0, 5.0], [7.0, -4.0]])


def evidence(weight=WEIGHT, slope=SLOPE, **given):
    gradient = WeightGradientEvidence(mean=slope, products=torch.zeros(1, len(slope)))
    return Evidence(
        layer="conv", weight=weight, kernel_shape=tuple(weight.shape), weight_gradient=gradient, **given
    )


def test_snip_sums_the_sizes_of_products():
    assert connection_sensitivity(evidence()).tolist() == [4.0, 3.0, 2.0]


def test_snip_from_images_is_that_of_gradients_one_image_at_a_time():
    scene = scene_of(networks.Plain())
    for layer, found in gathered(scene, data(), Needs.WEIGHT_GRADIENT).items():
        weight = scene.weight(layer)
        slopes = weight_gradients(scene.model, scene.layers[layer].weight, data())
        expected = torch.zeros(len(weight), dtype=torch.float64)
        for index in range(len(weight)):
            for place in range(weight.shape[1]):
                slope = sum(float(each.flatten(1)[index, place]) for each in slopes) / len(slopes)
                expected[index] += abs(float(weight[index, place]) * slope)
        given = Evidence(layer=layer, weight=weight, kernel_shape=tuple(weight.shape), **found)
        torch.testing.assert_close(connection_sensitivity(given), expected)


def test_grasp_keeps_what_carries_the_gradient_flow():
    # L = Σ ½ h (w − target)², so that g = h (w − target), Hg = h g, and without w_i: g_i = −h target.
    weight = torch.tensor([2.0, 0.5, -1.0, 3.0], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    height = torch.tensor([1.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    loss = (height * (weight - target).square() / 2).sum()
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    (product,) = torch.autograd.grad((gradient * gradient.detach()).sum(), weight)
    given = Evidence(
        layer="toy",
        weight=weight.detach()[:, None],
        kernel_shape=(4, 1),
        hessian_product=weight.detach() * product,
    )
    scores = gradient_flow(given)
    assert scores.tolist() == [2.0, -1.0, 2.0, 9.0]
    # S(−w) = −w (Hg) of the paper, whose highest is pruned: the second.
    paper = -weight.detach() * product
    assert paper.argmax() == scores.argmin() == 1
    # The flow ‖g‖² falls with the scores when a small part of each weight is taken away.
    for index in range(4):
        less = weight.detach().clone()
        less[index] *= 1 - 1e-6
        change = (height * (less - target)).square().sum() - gradient.detach().square().sum()
        torch.testing.assert_close(-change / 2e-6, scores[index], rtol=1e-4, atol=1e-4)


def test_grasp_from_images_is_the_change_of_the_gradient_flow():
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.HESSIAN_PRODUCT)
    names = [layer.weight for layer in scene.layers.values()]
    model = scene.model.requires_grad_(True)

    def flow():
        slopes = torch.autograd.grad(mean_loss(model, data()), [model.get_parameter(name) for name in names])
        return sum(slope.square().sum() for slope in slopes)

    for layer, channel in (("conv1", 2), ("conv2", 4), ("head.linear", 0)):
        weight = model.get_parameter(scene.layers[layer].weight)
        kept = weight.detach().clone()
        flows = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[channel] *= 1 + sign * 1e-5
            flows.append(flow())
            with torch.no_grad():
                weight.copy_(kept)
        given = Evidence(
            layer=layer, weight=scene.weight(layer), kernel_shape=tuple(weight.shape), **found[layer]
        )
        # Along the filter ‖g‖² rises by 2 w·Hg.
        slope = (flows[0] - flows[1]) / 2e-5
        torch.testing.assert_close(2 * gradient_flow(given)[channel], slope, rtol=1e-5, atol=1e-9)


def test_movement_from_images_is_what_the_steps_did():
    scene = scene_of(networks.Plain())
    found = gathered(scene, data(), Needs.MOVEMENT)["conv2"]["movement"]
    model = scene.model.requires_grad_(True)
    total = torch.zeros(6, dtype=torch.float64)
    for images, labels in data():
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        slopes = torch.autograd.grad(classify(model, images, labels).each.mean(), list(model.parameters()))
        with torch.no_grad():
            for (name, parameter), slope in zip(model.named_parameters(), slopes, strict=True):
                parameter.copy_(before[name] - 0.01 * slope)
        # What a step took from a weight is 0.01 times its gradient.
        moved = (model.conv2.weight.detach() - before["conv2.weight"]) / 0.01
        total += (before["conv2.weight"] * moved).flatten(1).sum(1)
    given = Evidence(layer="conv2", weight=scene.weight("conv2"), kernel_shape=(6, 8, 3, 3), movement=found)
    torch.testing.assert_close(weight_movement(given), total)
    assert CRITERIA["movement"].per_batch


def test_drive_orders_as_its_parts_alone():
    given = evidence()
    weights, products, slopes = (
        dual_gradient(given, magnitude=a, sensitivity=b, convergence=c)
        for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    )
    assert torch.equal(weights.argsort(), l1_norm(given).argsort())
    assert torch.equal(products.argsort(), connection_sensitivity(given).argsort())
    assert torch.equal(slopes.argsort(), SLOPE.abs().sum(1).argsort())


def test_drive_divides_by_the_means_of_the_layer():
    # Means: |W| 6.5/6, |W g| 9/6, |g| 20/6.
    expected = [3 / (6.5 / 6) + 4 / 1.5 + 3 / (20 / 6), 3 / (6.5 / 6) + 3 / 1.5 + 6 / (20 / 6)]
    expected.append(0.5 / (6.5 / 6) + 2 / 1.5 + 11 / (20 / 6))
    torch.testing.assert_close(dual_gradient(evidence()), torch.tensor(expected))


def test_drive_of_a_layer_without_gradient_is_its_weights():
    given = evidence(slope=torch.zeros(3, 2))
    torch.testing.assert_close(dual_gradient(given), dual_gradient(given, sensitivity=0, convergence=0))


def test_the_parts_of_drive_are_options():
    only_products = criterion_named("drive(magnitude=0, convergence=0)")
    torch.testing.assert_close(only_products.function(evidence()), connection_sensitivity(evidence()) / 1.5)


def test_products_beyond_single_precision_stay_in_range():
    given = evidence(weight=WEIGHT * 1e30, slope=SLOPE * 1e30)
    assert torch.isfinite(connection_sensitivity(given)).all()
    torch.testing.assert_close(dual_gradient(given), dual_gradient(evidence()))


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("snip", "weight_gradient"),
        ("drive", "weight_gradient"),
        ("grasp", "hessian_product"),
        ("movement", "movement"),
    ],
)
def test_a_layer_without_the_evidence_has_no_score(name, attribute):
    given = complete(without={attribute})
    assert not CRITERIA[name].available(given)
    with pytest.raises(ValueError, match=r"ask Criterion\.available first"):
        CRITERIA[name].function(given)


def test_single_images_give_the_same_snip():
    scene = scene_of(networks.Plain())
    left, right = (
        gathered(scene, batches, Needs.WEIGHT_GRADIENT) for batches in (data(), one_by_one(data()))
    )
    for layer, found in left.items():
        scores = [
            connection_sensitivity(Evidence(layer=layer, weight=scene.weight(layer), kernel_shape=(), **each))
            for each in (found, right[layer])
        ]
        torch.testing.assert_close(*scores)
