"""First-order estimates against hand arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from criteria.complete import complete

from prunecli.criteria.contract import CRITERIA, Evidence
from prunecli.criteria.evidence import GateGradientEvidence, WeightGradientEvidence
from prunecli.criteria.taylor import activation_taylor, gate_taylor, norm_taylor, taylor, weight_taylor

GATES = GateGradientEvidence(
    per_image=torch.tensor([[4.0, -2.0, 0.0], [-8.0, 2.0, 0.0], [0.0, 6.0, 0.0]]),
    coupled=torch.zeros(3, 3),
    positions=2,
    batch_sizes=(2, 1),
)


def evidence(**given):
    return Evidence(layer="conv", weight=torch.ones(3, 2), kernel_shape=(3, 2), **given)


def test_taylor_act_takes_sizes_of_means_over_positions_and_divides_by_the_layer_s_length():
    # Means over two positions: (2, −4, 0), (−1, 1, 3), (0, 0, 0); mean sizes over images: 2, 5/3, 0.
    scores = activation_taylor(evidence(gate_gradient=GATES))
    length = math.hypot(2, 5 / 3)
    torch.testing.assert_close(scores, torch.tensor([2 / length, 5 / 3 / length, 0.0]))
    assert torch.equal(taylor(evidence(gate_gradient=GATES)), scores)


def test_taylor_act_of_a_layer_without_any_slope_is_zero():
    silent = GateGradientEvidence(torch.zeros(3, 3), torch.zeros(3, 3), 2, (3,))
    assert activation_taylor(evidence(gate_gradient=silent)).tolist() == [0.0, 0.0, 0.0]


def test_gate_taylor_squares_the_slope_of_each_batch_s_mean_loss():
    # Batches of two images and one: means (−2, 0, 0) and (0, 6, 0).
    assert gate_taylor(evidence(gate_gradient=GATES)).tolist() == [2.0, 18.0, 0.0]


def test_weight_and_norm_taylor_average_the_squares_of_batches():
    products = torch.tensor([[1.0, -3.0, 0.0], [3.0, 4.0, 0.0]])
    given = WeightGradientEvidence(mean=torch.zeros(3, 2), products=products)
    assert weight_taylor(evidence(weight_gradient=given)).tolist() == [5.0, 12.5, 0.0]
    assert norm_taylor(evidence(norm_products=products)).tolist() == [5.0, 12.5, 0.0]


@pytest.mark.parametrize("name", ["taylor_act", "taylor", "taylor_weight", "gate_taylor", "bn_taylor"])
def test_a_dead_channel_scores_zero(name):
    assert CRITERIA[name].function(complete(zero=4))[4] == 0


@pytest.mark.parametrize("name", ["taylor_weight", "gate_taylor", "bn_taylor"])
def test_what_is_squared_batch_by_batch_says_so(name):
    assert CRITERIA[name].per_batch
    assert not CRITERIA["taylor_act"].per_batch


@pytest.mark.parametrize(
    ("name", "attribute", "words"),
    [
        ("taylor", "gate_gradient", "no gate gradients"),
        ("gate_taylor", "gate_gradient", "no gate gradients"),
        ("taylor_weight", "weight_gradient", "no weight gradients"),
        ("bn_taylor", "norm_products", "no batch normalisation"),
    ],
)
def test_a_layer_without_the_evidence_has_no_score(name, attribute, words):
    given = complete(without={attribute})
    assert not CRITERIA[name].available(given)
    with pytest.raises(ValueError, match=words):
        CRITERIA[name].function(given)


def test_squares_of_small_and_large_slopes_stay_in_range():
    large = GateGradientEvidence(torch.full((2, 3), 1e30), torch.zeros(2, 3), 1, (2,))
    assert torch.isfinite(gate_taylor(evidence(gate_gradient=large))).all()
    torch.testing.assert_close(activation_taylor(evidence(gate_gradient=large)), torch.full((3,), 3**-0.5))
    small = GateGradientEvidence(torch.full((2, 3), 1e-30), torch.zeros(2, 3), 1, (2,))
    torch.testing.assert_close(activation_taylor(evidence(gate_gradient=small)), torch.full((3,), 3**-0.5))
