"""Correlations and set overlaps against hand arithmetic."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from prunecli.analysis.agreement import (
    global_agreement,
    jaccard,
    kendall,
    mean,
    pair_agreement,
    spearman,
)

UP = np.array([1.0, 2.0, 3.0, 4.0])
SWAPPED = np.array([2.0, 1.0, 3.0, 4.0])


def test_correlations_of_one_swap():
    # Σd² = 2: 1 − 6·2 / (4·15) = 0.8; one of six pairs is out of order: (5 − 1) / 6.
    assert spearman(UP, SWAPPED) == pytest.approx(0.8)
    assert kendall(UP, SWAPPED) == pytest.approx(4 / 6)
    assert spearman(UP, -UP) == pytest.approx(-1)
    assert kendall(UP, -UP) == pytest.approx(-1)


def test_ties_have_average_ranks():
    tied = np.array([1.0, 1.0, 2.0, 3.0])
    ranks = np.array([1.5, 1.5, 3.0, 4.0])
    assert spearman(UP, tied) == pytest.approx(float(np.corrcoef([1, 2, 3, 4], ranks)[0, 1]))
    # tau-b: 5 concordant pairs ÷ sqrt(6 · 5).
    assert kendall(UP, tied) == pytest.approx(5 / 30**0.5)


@pytest.mark.parametrize("figure", [spearman, kendall])
def test_a_constant_or_a_single_score_is_undefined(figure):
    warnings.simplefilter("error")  # a correlation that is not asked for cannot warn
    assert figure(UP, np.ones(4)) is None
    assert figure(np.ones(4), UP) is None
    assert figure(np.ones(1), np.ones(1)) is None


def test_jaccard_of_the_removed_sets():
    assert jaccard(UP, SWAPPED, ratio=0.5) == 1.0
    assert jaccard(UP, SWAPPED, ratio=0.25) == 0.0
    assert jaccard(UP, np.array([1.0, 4.0, 2.0, 3.0]), ratio=0.5) == pytest.approx(1 / 3)
    assert jaccard(UP, SWAPPED, ratio=0.1) is None


def test_a_mean_skips_what_is_undefined():
    assert mean([0.5, None, 1.0]) == 0.75
    assert mean([None, None]) is None
    assert mean([]) is None


def test_a_pair_is_averaged_over_the_layers_where_it_is_defined():
    scores = {
        "one": {"l1": UP, "l2": SWAPPED},
        "two": {"l1": UP, "l2": -UP},
        "constant": {"l1": UP, "l2": np.ones(4)},
        "absent": {"l1": UP, "l2": None},
    }
    pair = pair_agreement(scores, a="l1", b="l2", ratios=[0.5])
    assert pair.average.spearman == pytest.approx((0.8 - 1) / 2)
    assert pair.average.kendall == pytest.approx((4 / 6 - 1) / 2)
    # The constant layer removes its first two by index, as the rising one does.
    assert pair.average.jaccard == {"0.5": pytest.approx((1 + 0 + 1) / 3)}
    assert pair.layers["constant"].spearman is None
    assert pair.layers["absent"].jaccard == {"0.5": None}
    assert [layer["name"] for layer in pair.document()["layers"]] == ["one", "two", "constant", "absent"]


def test_the_global_ranking_sees_scales_that_layers_hide():
    # Inside each layer the two agree wholly; across layers they disagree about which is small.
    scores = {
        "one": {"l1": UP, "l2": 100 * UP},
        "two": {"l1": 100 * UP, "l2": UP},
        "absent": {"l1": UP, "l2": None},
    }
    overall = global_agreement(scores, a="l1", b="l2", ratios=[0.5])
    assert overall.jaccard == {"0.5": 0.0}
    # Ranks 1-4 and 5-8 change places: Σd² = 8·16, 1 − 6·128 / (8·63).
    assert overall.spearman == pytest.approx(1 - 6 * 128 / (8 * 63))
    assert pair_agreement(scores, a="l1", b="l2", ratios=[0.5]).average.spearman == pytest.approx(1)


def test_a_global_pair_without_a_common_layer_is_undefined():
    overall = global_agreement({"one": {"l1": UP, "l2": None}}, a="l1", b="l2", ratios=[0.5])
    assert overall.document() == {"a": "l1", "b": "l2", "spearman": None, "jaccard": {"0.5": None}}
