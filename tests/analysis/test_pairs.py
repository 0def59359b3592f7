"""Pairs of criteria in every layer, and their averages."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.agreement import jaccard, kendall, rbo, spearman
from prunecli.analysis.pairs import pair_agreement, pair_agreements

UP = np.array([1.0, 2.0, 3.0, 4.0])
SWAPPED = np.array([2.0, 1.0, 3.0, 4.0])
LAYERS = {
    "one": {"l1": UP, "l2": SWAPPED},
    "two": {"l1": UP, "l2": -UP},
    "constant": {"l1": UP, "l2": np.ones(4)},
    "absent": {"l1": UP, "l2": None},
}


def test_a_pair_is_averaged_over_the_layers_where_it_is_defined():
    pair = pair_agreement(LAYERS, a="l1", b="l2", ratios=[0.5])
    assert pair.average.spearman == pytest.approx((0.8 - 1) / 2)
    assert pair.average.kendall == pytest.approx((4 / 6 - 1) / 2)
    # The constant layer removes its first two by index, as the rising one does.
    assert pair.average.jaccard == {"0.5": pytest.approx((1 + 0 + 1) / 3)}
    assert pair.average.rbo == pytest.approx((rbo(UP, SWAPPED) + rbo(UP, -UP) + 1) / 3)
    assert pair.layers["constant"].spearman is None
    assert pair.layers["absent"].jaccard == {"0.5": None}
    assert [layer["name"] for layer in pair.document()["layers"]] == ["one", "two", "constant", "absent"]


def test_an_interval_needs_three_layers():
    document = pair_agreement(LAYERS, a="l1", b="l2", ratios=[0.5]).document()
    assert document["interval"]["spearman"] is None  # two layers
    low, high = document["interval"]["jaccard"]["0.5"]  # three
    assert (low, high) == (0.0, 1.0)
    assert list(document["interval"]) == ["spearman", "kendall", "jaccard", "rbo"]


def test_every_pair_has_the_figures_of_its_own_scores():
    generator = np.random.default_rng(3)
    criteria = ["l1", "l2", "fpgm", "bn_gamma"]
    layers = {
        f"conv{n}": {name: generator.integers(0, 12, size=10 + n).astype(float) for name in criteria}
        for n in range(6)
    }
    layers["conv2"]["l2"] = None
    found = pair_agreements(layers, criteria=criteria, ratios=[0.3, 0.5], p=0.8)
    names = [("l1", "l2"), ("l1", "fpgm"), ("l1", "bn_gamma"), ("l2", "fpgm"), ("l2", "bn_gamma")]
    assert [(pair.a, pair.b) for pair in found] == [*names, ("fpgm", "bn_gamma")]
    for pair in found:
        for layer, figures in pair.layers.items():
            a, b = layers[layer][pair.a], layers[layer][pair.b]
            if a is None or b is None:
                assert figures.spearman is figures.kendall is figures.rbo is None
                continue
            assert figures.spearman == pytest.approx(spearman(a, b), abs=1e-12)
            assert figures.kendall == pytest.approx(kendall(a, b), abs=1e-12)
            assert figures.rbo == pytest.approx(rbo(a, b, p=0.8), abs=1e-12)
            assert figures.jaccard == {str(r): jaccard(a, b, ratio=r) for r in (0.3, 0.5)}
        low, high = pair.interval.spearman
        assert low < pair.average.spearman < high


def test_without_layers_nothing_is_defined():
    pair = pair_agreement({}, a="l1", b="l2", ratios=[0.5])
    assert pair.average.document() == {
        "spearman": None,
        "kendall": None,
        "jaccard": {"0.5": None},
        "rbo": None,
    }
    assert pair.layers == {}
