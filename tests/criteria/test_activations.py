"""Criteria of feature maps over images against hand arithmetic and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunecli.criteria.activations import (
    deviation_of_activation,
    entropy_of_activation,
    fisher_ratio,
    length_of_activation,
    mean_activation,
    share_of_activity,
    uncorrelated_activation,
)
from prunecli.criteria.contract import CRITERIA
from prunecli.criteria.evidence import ActivationEvidence, Evidence
from prunecli.criteria.specification import criterion_named
from prunecli.errors import WrongUse

POOLED = torch.tensor([[1.0, -1.0, 2.0], [3.0, -3.0, 2.0], [8.0, 1.0, 2.0], [0.0, 3.0, 2.0]])


def evidence(pooled, *, labels=None, **more):
    """Activations whose means by image are given; magnitudes and lengths are of maps of one position."""
    labels = torch.zeros(len(pooled), dtype=torch.int64) if labels is None else torch.tensor(labels)
    activation = ActivationEvidence(pooled, pooled.abs().mean(0), pooled.abs().mean(0), labels)
    filters = pooled.shape[1]
    return Evidence("conv", torch.ones(filters, 9), (filters, 1, 3, 3), activation=activation, **more)


def drawn(images=40, filters=7, seed=0):
    return torch.randn(images, filters, generator=torch.Generator().manual_seed(seed))


def test_the_share_of_activity_is_what_is_not_zero():
    given = evidence(POOLED, zero_share=torch.tensor([1.0, 0.25, 0.0]))
    assert share_of_activity(given).tolist() == [0.0, 0.75, 1.0]
    assert not CRITERIA["apoz"].available(evidence(POOLED))
    with pytest.raises(ValueError, match="conv has no rectifier"):
        share_of_activity(evidence(POOLED))


def test_means_deviations_and_lengths_of_three_channels():
    given = evidence(POOLED)
    assert mean_activation(given).tolist() == [3.0, 0.0, 2.0]
    assert mean_activation(given, how="absolute").tolist() == [3.0, 2.0, 2.0]
    assert length_of_activation(given).tolist() == [3.0, 2.0, 2.0]
    torch.testing.assert_close(deviation_of_activation(given), torch.tensor([9.5**0.5, 5.0**0.5, 0.0]))


def test_the_deviation_is_that_of_numpy_and_0_for_one_image():
    pooled = drawn()
    slow = [float(np.std([float(row[f]) for row in pooled])) for f in range(7)]
    torch.testing.assert_close(deviation_of_activation(evidence(pooled)), torch.tensor(slow))
    assert deviation_of_activation(evidence(pooled[:1])).tolist() == [0.0] * 7


@pytest.mark.parametrize("bins", [1, 5, 20, 100])
def test_entropy_is_that_of_the_histogram(bins):
    pooled = drawn(images=200)
    probabilities, densities = [], []
    for column in pooled.T.double().numpy():
        share = np.histogram(column, bins=bins)[0] / len(column)
        probabilities.append(-sum(p * np.log2(p) for p in share if p))
        density = np.histogram(column, bins=bins, density=True)[0]
        densities.append(-sum(d * np.log2(d) for d in density if d))
    given = evidence(pooled)
    torch.testing.assert_close(entropy_of_activation(given, bins=bins), torch.tensor(probabilities).float())
    ice = criterion_named(f"entropy(bins={bins}, mode=ice)").function(given)
    torch.testing.assert_close(ice, torch.tensor(densities).float(), rtol=1e-5, atol=1e-5)


def test_four_equally_frequent_values_are_two_bits():
    column = torch.tensor([0.0, 1.0, 2.0, 3.0] * 6)[:, None]
    assert entropy_of_activation(evidence(column)).tolist() == [2.0]


@pytest.mark.parametrize("score", [entropy_of_activation, uncorrelated_activation, fisher_ratio])
def test_what_is_the_same_for_all_images_but_for_rounding_scores_0(score):
    noise = torch.linspace(-1e-7, 1e-7, 40)
    pooled = torch.stack([torch.zeros(40), 5 * torch.ones(40), 5 + 5 * noise, drawn()[:, 0]], dim=1)
    scores = score(evidence(pooled, labels=[0, 1] * 20))
    assert scores[:3].tolist() == [0.0, 0.0, 0.0]
    assert scores[3] > 0


def test_ice_densities_of_a_narrow_channel_stay_finite():
    pooled = torch.stack([torch.linspace(0, 1e-38, 50), torch.linspace(0, 1, 50)], dim=1)
    assert torch.isfinite(entropy_of_activation(evidence(pooled), mode="ice")).all()


def test_correlation_is_that_of_numpy():
    pooled = drawn() + drawn(seed=1)[:, :1]
    alike = np.abs(np.corrcoef(pooled.double().numpy(), rowvar=False)) - np.eye(7)
    expected = torch.from_numpy(1 - alike.max(axis=1)).float()
    torch.testing.assert_close(uncorrelated_activation(evidence(pooled)), expected)


def test_copies_and_mirror_images_are_redundant():
    first, second = drawn()[:, 0], drawn()[:, 1]
    pooled = torch.stack([first, -3 * first + 1, second], dim=1)
    scores = uncorrelated_activation(evidence(pooled))
    assert scores[:2].abs().max() < 1e-6
    assert scores[2] > 0.5
    assert uncorrelated_activation(evidence(first[:, None])).tolist() == [1.0]


def test_the_fisher_ratio_is_that_of_plain_sums():
    pooled, labels = drawn(), [0, 1, 1, 5] * 10
    expected = []
    for column in pooled.T.tolist():
        middle = sum(column) / len(column)
        between = within = 0.0
        for label in set(labels):
            members = [value for value, each in zip(column, labels, strict=True) if each == label]
            mean = sum(members) / len(members)
            between += len(members) * (mean - middle) ** 2
            within += sum((value - mean) ** 2 for value in members)
        expected.append(between / within)
    scores = fisher_ratio(evidence(pooled, labels=labels))
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_a_perfect_separation_is_finite_and_one_class_tells_nothing():
    pooled = torch.tensor([[1.0, 0.3], [1.0, 0.5], [4.0, 0.4], [4.0, 0.1]])
    scores = fisher_ratio(evidence(pooled, labels=[0, 0, 1, 1]))
    assert scores[0] == pytest.approx(1e6)
    # means 0.4 and 0.25, each 0.075 from 0.325; within 2 × 0.1² + 2 × 0.15²
    assert scores[1] == pytest.approx(4 * 0.075**2 / (2 * 0.1**2 + 2 * 0.15**2))
    assert fisher_ratio(evidence(pooled)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("wrong", ["mean_act(how=median)", "entropy(mode=nats)", "entropy(bins=0)"])
def test_an_unknown_value_of_an_option_is_refused(wrong):
    with pytest.raises(WrongUse):
        criterion_named(wrong).function(evidence(POOLED))


@pytest.mark.parametrize("name", ["mean_act", "std_act", "act_l2", "entropy", "act_corr", "lda"])
def test_a_layer_that_was_not_seen_has_no_score(name):
    bare = Evidence("conv", torch.ones(3, 9), (3, 1, 3, 3))
    assert not CRITERIA[name].available(bare)
    with pytest.raises(ValueError, match="conv was not seen"):
        CRITERIA[name].function(bare)


def test_double_weights_take_activations_in_single_precision():
    single = evidence(POOLED, zero_share=torch.zeros(3))
    double = Evidence(
        "conv",
        torch.ones(3, 9, dtype=torch.float64),
        (3, 1, 3, 3),
        activation=single.activation,
        zero_share=single.zero_share,
    )
    for name in (
        "apoz",
        "mean_act",
        "mean_act(how=absolute)",
        "std_act",
        "act_l2",
        "entropy",
        "act_corr",
        "lda",
    ):
        scores = criterion_named(name).function(double)
        assert scores.dtype == torch.float64
        torch.testing.assert_close(scores.float(), criterion_named(name).function(single))
