"""The weight-distribution tests on layers whose distribution is known."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from prunecli.analysis.cwda import (
    LayerDistribution,
    LayerWeights,
    distribution_remarks,
    weight_distribution,
    weight_distributions,
)

SEEDS = range(20)
MANY_SEEDS = range(100)


def gaussian(filters, dimension, generator):
    return torch.randn(filters, dimension, generator=generator)


def uniform(filters, dimension, generator):
    return torch.rand(filters, dimension, generator=generator) - 0.5


def laplace(filters, dimension, generator):
    size = torch.empty(filters, dimension).exponential_(generator=generator)
    return size * (torch.rand(filters, dimension, generator=generator) - 0.5).sign()


def scaled_coordinates(filters, dimension, generator):
    scale = 0.5 + torch.rand(dimension, generator=generator)
    return torch.randn(filters, dimension, generator=generator) * scale


def scaled_filters(filters, dimension, generator):
    scale = 0.5 + torch.rand(filters, 1, generator=generator)
    return torch.randn(filters, dimension, generator=generator) * scale


def drawn(make, filters=64, dimension=144, seed=0):
    weight = make(filters, dimension, torch.Generator().manual_seed(seed))
    return weight_distribution(LayerWeights("conv", weight, (filters, dimension // 9, 3, 3)))


@pytest.mark.parametrize(("filters", "dimension"), [(16, 27), (16, 144), (64, 9), (64, 144), (64, 576)])
def test_normal_weights_hold(filters, dimension):
    found = [drawn(gaussian, filters, dimension, seed) for seed in MANY_SEEDS]
    assert np.mean([one.normal_share for one in found]) == pytest.approx(0.95, abs=0.02)
    assert sum(one.verdict != "holds" for one in found) <= 3  # 2 of 100 at 16 × 27, else none
    # Variances of normal samples spread by √(2/(F − 1)), and nothing is left beyond that.
    assert np.mean([one.variance_cv for one in found]) == pytest.approx(
        found[0].variance_cv_expected, rel=0.08
    )
    assert found[0].variance_cv_expected == pytest.approx((2 / (filters - 1)) ** 0.5)
    assert np.mean([one.variance_cv_excess for one in found]) < 0.1


@pytest.mark.parametrize("dimension", [3, 6, 18])
def test_short_filters_pass_as_often(dimension):
    found = []
    for seed in range(10):
        weight = gaussian(64, dimension, torch.Generator().manual_seed(seed))
        found.append(weight_distribution(LayerWeights("x", weight, (64, 1, dimension))))
    assert np.mean([one.normal_share for one in found]) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("filters", [3, 4, 6])
def test_a_few_normal_filters_are_not_flagged_for_their_number(filters):
    found = [drawn(gaussian, filters, 27, seed) for seed in MANY_SEEDS]
    assert any(one.normal_share < 0.8 and one.abs_skew > 0.5 for one in found)
    assert any(one.variance_cv_excess > 0.3 for one in found)
    assert sum(one.verdict != "holds" for one in found) <= 4


@pytest.mark.parametrize("filters", [16, 64])
@pytest.mark.parametrize(("make", "kurtosis"), [(uniform, -1.2), (laplace, 3.0)])
def test_other_distributions_fail_normality_and_only_that(make, kurtosis, filters):
    found = [drawn(make, filters, 576, seed) for seed in SEEDS]
    assert max(one.normal_share for one in found) < 0.2
    assert all(one.verdict.startswith("not normal (") and ";" not in one.verdict for one in found)
    # The median kurtosis of samples with long tails lies below that of the distribution.
    assert np.mean([one.excess_kurtosis for one in found]) == pytest.approx(kurtosis, rel=0.2)


@pytest.mark.parametrize(("filters", "dimension"), [(16, 144), (64, 27), (64, 576)])
def test_coordinates_of_different_scale_are_flagged(filters, dimension):
    found = [drawn(scaled_coordinates, filters, dimension, seed) for seed in SEEDS]
    assert all("unequal variances (CV" in one.verdict for one in found)
    # Of s from U(0.5, 1.5): E s² = 13/12 and E s⁴ = 121/80.
    assert np.mean([one.variance_cv_excess for one in found]) == pytest.approx(
        (121 / 80 / (13 / 12) ** 2 - 1) ** 0.5, abs=0.03
    )


@pytest.mark.parametrize("filters", [16, 64])
def test_filters_of_different_scale_do_not_count_as_unequal_coordinates(filters):
    found = [drawn(scaled_filters, filters, 144, seed) for seed in SEEDS]
    assert [one.verdict for one in found] == ["holds"] * len(found)


def test_a_common_mean_is_named():
    found = drawn(lambda *given: gaussian(*given) + 0.5)
    assert found.mean_over_std == pytest.approx(0.5, abs=0.05)
    assert found.verdict == f"mean off zero (|μ|/σ {found.mean_over_std:.2f})"


def test_the_effect_sizes_are_those_of_numpy():
    weight = np.random.default_rng(0).gamma(2.0, size=(12, 45))
    found = weight_distribution(LayerWeights("c", torch.tensor(weight), (12, 5, 3, 3)))
    centred = weight - weight.mean(axis=1, keepdims=True)
    spread = weight.std(axis=1)
    assert found.filters == 12
    assert found.dimension == 45
    assert found.mean_over_std == pytest.approx(weight.mean() / weight.std())
    assert found.skew == pytest.approx(np.median((centred**3).mean(axis=1) / spread**3))
    assert found.abs_skew == pytest.approx(np.median(abs((centred**3).mean(axis=1) / spread**3)))
    assert found.excess_kurtosis == pytest.approx(np.median((centred**4).mean(axis=1) / spread**4) - 3)
    variances = weight.var(axis=0, ddof=1)
    assert found.variance_cv == pytest.approx(variances.std() / variances.mean())


def test_blocks_do_not_change_a_figure(monkeypatch):
    weight = LayerWeights("c", laplace(50, 90, torch.Generator().manual_seed(0)), (50, 10, 3, 3))
    whole = weight_distribution(weight)
    monkeypatch.setattr("prunecli.analysis.cwda._BLOCK", 90 * 7)
    parts = weight_distribution(weight)
    assert parts.document() == {
        key: pytest.approx(value) if isinstance(value, float) else value
        for key, value in whole.document().items()
    }


def test_the_share_means_the_same_in_wide_layers():
    # Student's t with 30 degrees of freedom is nearly normal (excess kurtosis 0.23). Tested on all 4608
    # weights hardly a filter passes; on 512 most do, as in a layer of that width.
    def nearly(filters, dimension, generator):
        chi = torch.randn(filters, dimension, 30, generator=generator).square().mean(2)
        return torch.randn(filters, dimension, generator=generator) / chi.sqrt()

    wide = drawn(nearly, 24, 4608)
    assert wide.normal_share > 0.6
    assert wide.normal_share == pytest.approx(drawn(nearly, 24, 512, 1).normal_share, abs=0.25)
    assert wide.excess_kurtosis == pytest.approx(0.23, abs=0.1)


def test_a_departure_that_only_the_number_of_weights_shows_is_none():
    # A tenth of Laplace's in the mixture: many filters of 576 weights fail, at an excess kurtosis below 0.5.
    def slightly(filters, dimension, generator):
        return gaussian(filters, dimension, generator) + 0.55 * laplace(filters, dimension, generator)

    found = drawn(slightly, 256, 576)
    assert found.normal_share < 0.8
    assert 0.2 < found.excess_kurtosis < 0.5
    assert found.verdict == "holds"


def test_filters_that_lean_to_either_side_are_not_normal():
    def leaning(filters, dimension, generator):
        size = torch.empty(filters, dimension).exponential_(generator=generator) - 1
        return size * (torch.arange(filters)[:, None] % 2 * 2 - 1)

    found = drawn(leaning)
    assert abs(found.skew) < 1.5 < found.abs_skew
    assert found.verdict.startswith("not normal (0% of filters pass, |skew| 1.")


@pytest.mark.parametrize(
    ("shape", "flags", "outside"),
    [
        ((8, 3, 3, 3), {"first": True}, "first layer"),
        ((8, 1, 3, 3), {"depthwise": True}, "depthwise"),
        ((8, 20, 1, 1), {}, "1x1"),
        ((8, 20), {}, "linear"),
        ((8, 20), {"first": True}, "first layer"),
        ((8, 20, 1), {}, "1x1"),
    ],
)
def test_layers_outside_the_assumption_are_marked_and_measured(shape, flags, outside):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).flatten(1)
    found = weight_distribution(LayerWeights("x", weight, shape, **flags))
    assert found.verdict == f"outside the assumption: {outside}"
    assert found.normal_share is not None


@pytest.mark.parametrize("shape", [(4, 3, 1, 3), (4, 3, 3), (4, 2, 2, 2, 2)])
def test_convolutions_with_an_extent_are_covered(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).flatten(1)
    assert not weight_distribution(LayerWeights("x", weight, shape)).verdict.startswith("outside")


@pytest.mark.parametrize(
    "weight",
    [
        torch.zeros(8, 18),
        torch.full((8, 18), 0.25),
        torch.randn(1, 18),
        torch.randn(8, 18).index_fill(1, torch.tensor([3]), float("nan")),
        torch.zeros(0, 18),
    ],
)
def test_what_cannot_be_tested_is_undefined_and_said(weight):
    document = weight_distribution(LayerWeights("x", weight, (len(weight), 2, 3, 3))).document()
    assert document["verdict"] == "no test"
    assert document["variance_cv"] is None
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_weight_that_is_not_finite_leaves_the_layer_untested(value):
    weight = gaussian(8, 18, torch.Generator().manual_seed(0))
    weight[2, 5] = value
    found = weight_distribution(LayerWeights("x", weight, (8, 2, 3, 3)))
    assert found.verdict == "no test"
    assert found.normal_share is found.skew is found.mean_over_std is None


def test_dead_filters_are_not_counted():
    weight = gaussian(64, 144, torch.Generator().manual_seed(0))
    weight[::2] = 0
    assert weight_distribution(LayerWeights("x", weight, (64, 16, 3, 3))).normal_share > 0.85


def test_half_precision_is_tested_as_it_stands():
    weight = gaussian(64, 144, torch.Generator().manual_seed(0))
    layer = LayerWeights("x", weight.bfloat16().requires_grad_(), (64, 16, 3, 3))
    assert weight_distribution(layer).verdict == "holds"


def test_the_document_has_the_keys_of_the_contract():
    document = drawn(gaussian).document()
    fixed = ["name", "filters", "dimension", "normal_share", "mean_over_std", "variance_cv", "verdict"]
    assert set(fixed) <= set(document)
    assert set(document) - set(fixed) == {
        "variance_cv_expected",
        "variance_cv_excess",
        "skew",
        "abs_skew",
        "excess_kurtosis",
    }


def test_the_remark_counts_verdicts():
    def with_verdict(verdict):
        return LayerDistribution("x", 8, 9, *[None] * 8, verdict=verdict)

    verdicts = [
        "holds",
        "not normal (…)",
        "not normal (…); unequal variances (…)",
        "outside the assumption: 1x1",
    ]
    assert distribution_remarks([with_verdict(verdict) for verdict in verdicts]) == (
        "the weight-distribution assumption holds in 1 of the 3 layers it speaks of "
        "(2 not normal, 1 unequal variances)",
    )
    assert distribution_remarks([with_verdict("holds")]) == (
        "the weight-distribution assumption holds in 1 of the 1 layers it speaks of",
    )
    assert distribution_remarks([with_verdict(verdicts[-1])]) == (
        "the weight-distribution assumption speaks of none of these layers",
    )
    assert distribution_remarks([]) == ()


def test_a_wide_layer_takes_no_seconds():
    layer = LayerWeights("x", torch.randn(2048, 4608), (2048, 512, 3, 3))
    start = time.perf_counter()
    (found,) = weight_distributions([layer])
    assert time.perf_counter() - start < 5  # 0.3 s on one core
    assert found.verdict == "holds"
