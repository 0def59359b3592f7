"""Agreement over one ranking of the network, by normalization."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.agreement import jaccard, rbo, spearman
from prunecli.analysis.network_wide import global_agreement, global_agreements, normalized_agreements
from prunecli.analysis.pairs import pair_agreement
from prunecli.scoring.normalization import ALL_NORMALIZATIONS, NORMALIZATIONS, normalise_scores

UP = np.array([1.0, 2.0, 3.0, 4.0])
# Inside each layer the two agree wholly; across layers they disagree about which is small.
APART = {
    "one": {"l1": UP, "l2": 100 * UP},
    "two": {"l1": 100 * UP, "l2": UP},
    "absent": {"l1": UP, "l2": None},
}


def by_normalization(scores, criteria, costs=None, ratios=(0.5,)):
    overall = global_agreements(scores, criteria=criteria, ratios=ratios)
    found = normalized_agreements(scores, overall, criteria=criteria, ratios=ratios, costs=costs)
    return {one.normalization: one for one in found}


def test_the_global_ranking_sees_scales_that_layers_hide():
    overall = global_agreement(APART, a="l1", b="l2", ratios=[0.5])
    assert overall.jaccard == {"0.5": 0.0}
    # Ranks 1-4 and 5-8 change places: Σd² = 8·16, 1 − 6·128 / (8·63); of 28 pairs 16 are out of order.
    assert overall.spearman == pytest.approx(1 - 6 * 128 / (8 * 63))
    assert overall.kendall == pytest.approx((12 - 16) / 28)
    first = np.concatenate([UP, 100 * UP])
    assert overall.rbo == pytest.approx(rbo(first, np.concatenate([100 * UP, UP])))
    assert pair_agreement(APART, a="l1", b="l2", ratios=[0.5]).average.spearman == pytest.approx(1)


def test_a_global_pair_without_a_common_layer_is_undefined():
    overall = global_agreement({"one": {"l1": UP, "l2": None}}, a="l1", b="l2", ratios=[0.5])
    assert overall.document() == {
        "a": "l1",
        "b": "l2",
        "spearman": None,
        "jaccard": {"0.5": None},
        "rbo": None,
        "kendall": None,
    }


def test_a_scale_for_each_layer_brings_them_together():
    found = by_normalization(APART, ["l1", "l2"])
    assert list(found) == list(NORMALIZATIONS)
    assert found["none"].pairs[0].spearman == pytest.approx(1 - 6 * 128 / (8 * 63))
    for how in ("mean", "l2", "max", "sum", "std", "rank"):
        assert found[how].pairs[0].spearman == pytest.approx(1), how
        assert found[how].pairs[0].jaccard == {"0.5": 1.0}
        assert found[how].left_out == ()


def test_per_mac_divides_by_what_a_channel_saves_and_leaves_out_what_saves_nothing():
    # Per MAC the scores of l1 are 1 2 3 4 in both layers, those of l2 100 … and 0.01 …
    found = by_normalization(APART, ["l1", "l2"], costs={"one": 1.0, "two": 100.0, "absent": 0.0})["per-MAC"]
    l1, l2 = np.concatenate([UP, UP]), np.concatenate([100 * UP, UP / 100])
    assert found.pairs[0].spearman == pytest.approx(spearman(l1, l2))
    assert found.pairs[0].jaccard == {"0.5": jaccard(l1, l2, ratio=0.5)}
    assert found.left_out == ("absent",)
    document = found.document()
    assert list(document) == ["normalization", "pairs", "left_out"]
    assert list(document["pairs"][0]) == ["a", "b", "spearman", "jaccard", "rbo"]
    without = by_normalization(APART, ["l1", "l2"], costs={"one": 1.0, "absent": 2.0})["per-MAC"]
    assert without.left_out == ("two",)
    assert without.pairs[0].spearman == pytest.approx(1)


def test_every_normalization_is_that_of_the_concatenated_layers():
    generator = np.random.default_rng(0)
    criteria = ["l1", "fpgm", "bn_gamma"]
    layers = {
        name: {each: generator.gamma(2.0, size=units) * scale for each in criteria}
        for name, units, scale in (("a", 8, 1.0), ("b", 13, 9.0), ("c", 5, 0.2))
    }
    layers["b"]["bn_gamma"] = None  # pairs with it are ranked over two layers, the others over three
    costs = {"a": 5.0, "b": 2.0, "c": 11.0}
    found = by_normalization(layers, criteria, costs=costs, ratios=(0.3,))
    assert list(found) == list(ALL_NORMALIZATIONS)
    for how, one in found.items():
        for pair in one.pairs:
            shared = [n for n in layers if layers[n][pair.a] is not None and layers[n][pair.b] is not None]
            a, b = (
                np.concatenate([normalise_scores(layers[n][name], how, cost=costs[n]) for n in shared])
                for name in (pair.a, pair.b)
            )
            assert pair.spearman == pytest.approx(spearman(a, b), abs=1e-12), how
            assert pair.jaccard == {"0.3": jaccard(a, b, ratio=0.3)}, how
            assert pair.rbo == pytest.approx(rbo(a, b), abs=1e-12), how


def test_equal_scores_stay_equal_in_a_correlation_of_ranks():
    # By index the ties of both would seem to agree: 1 2 3 4 5 6 against the same.
    apoz, l1 = np.array([0.0, 0, 0, 1, 1, 1]), np.array([3.0, 1, 2, 6, 4, 5])
    layers = {"one": {"apoz": apoz, "l1": l1}, "two": {"apoz": apoz, "l1": l1}}
    found = by_normalization(layers, ["apoz", "l1"])["rank"].pairs[0]
    assert found.spearman == pytest.approx(spearman(np.tile(apoz, 2), np.tile(l1, 2)))
    # What is removed goes by normalised scores: the first of the ties of both layers, then the second.
    first, second = (np.tile(normalise_scores(scores, "rank"), 2) for scores in (apoz, l1))
    assert found.rbo == pytest.approx(rbo(first, second))
    assert found.jaccard == {"0.5": jaccard(first, second, ratio=0.5)}


def test_a_criterion_that_varies_in_no_layer_has_no_correlation():
    flat = {
        "one": {"flat": np.full(4, 2.0), "l1": UP},
        "two": {"flat": np.full(6, 2.0), "l1": np.arange(6.0)},
    }
    found = by_normalization(flat, ["flat", "l1"])
    for how in ("none", "mean", "max", "std", "rank"):  # l2 and sum grow with the layer, and so rank layers
        assert found[how].pairs[0].spearman is None, how
