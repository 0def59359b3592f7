"""Correlations and set overlaps of two criteria against hand arithmetic."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from prunecli.analysis.agreement import agreement, jaccard, kendall, mean, rbo, spearman

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


def test_overlap_of_the_orders_of_removal():
    # X = 0, 2, 3, 4; p = 1/2: 1/16 + 1/4 + 1/8 + 1/16.
    assert rbo(UP, SWAPPED, p=0.5) == pytest.approx(0.5)
    assert rbo(UP, UP) == pytest.approx(1)
    # Equal scores go by index, as they do when they are removed.
    assert rbo(UP, np.ones(4)) == pytest.approx(1)
    assert rbo(np.ones(1), np.ones(1)) is None


def test_all_figures_together_are_those_one_by_one():
    found = agreement(UP, SWAPPED, ratios=[0.5, 0.25], p=0.5)
    assert found.document() == {
        "spearman": pytest.approx(0.8),
        "kendall": pytest.approx(4 / 6),
        "jaccard": {"0.5": 1.0, "0.25": 0.0},
        "rbo": pytest.approx(0.5),
    }
    absent = agreement(UP, None, ratios=[0.5], p=0.9)
    assert absent.document() == {"spearman": None, "kendall": None, "jaccard": {"0.5": None}, "rbo": None}


def test_a_mean_skips_what_is_undefined():
    assert mean([0.5, None, 1.0]) == 0.75
    assert mean([None, None]) is None
    assert mean([]) is None
