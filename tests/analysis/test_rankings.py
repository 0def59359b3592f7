"""Figures of all pairs at once against scipy's of one pair, and against Webber's formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prunecli.analysis import rankings
from prunecli.analysis.rankings import (
    jaccard_matrix,
    kendall_matrix,
    rank_scores,
    rbo_matrix,
    spearman_matrix,
)


def tied_scores(*, criteria=5, units=40, seed=0):
    """Integers from few values, so that there are many ties; the last row without any."""
    drawn = np.random.default_rng(seed).integers(0, 9, size=(criteria, units)).astype(float)
    drawn[-1] = np.random.default_rng(seed + 1).permutation(units)
    return drawn


def slow_rbo(a, b, *, p):
    """RBO_ext of two full rankings: X_k/k pᵏ + (1 − p)/p Σ_d X_d/d pᵈ, with sets."""
    first = sorted(range(len(a)), key=lambda unit: (a[unit], unit))
    second = sorted(range(len(b)), key=lambda unit: (b[unit], unit))
    common = [len(set(first[:d]) & set(second[:d])) for d in range(1, len(a) + 1)]
    k = len(a)
    total = sum(x / d * p**d for d, x in enumerate(common, start=1))
    return common[-1] / k * p**k + (1 - p) / p * total


def test_ranks_are_scipys_and_positions_are_those_of_a_stable_sort():
    scores = tied_scores()
    found = rank_scores(scores)
    assert found.ranks == pytest.approx(stats.rankdata(scores, axis=1), abs=0)
    order = np.argsort(scores, axis=1, kind="stable")
    for row in range(len(scores)):
        assert found.positions[row, order[row]].tolist() == list(range(scores.shape[1]))


@pytest.mark.parametrize("units", [2, 3, 40, 301])
def test_correlations_equal_scipys(units):
    scores = tied_scores(units=units)
    rho, tau = spearman_matrix(rank_scores(scores)), kendall_matrix(rank_scores(scores))
    for a in range(len(scores)):
        for b in range(len(scores)):
            if np.ptp(scores[a]) and np.ptp(scores[b]):
                expected = stats.spearmanr(scores[a], scores[b]).statistic
                assert rho[a, b] == pytest.approx(expected, abs=1e-12)
                expected = stats.kendalltau(scores[a], scores[b]).statistic
                assert tau[a, b] == pytest.approx(expected, abs=1e-12)


def test_kendall_is_the_same_by_products_in_blocks_and_by_sorting(monkeypatch):
    ranked = rank_scores(tied_scores(criteria=4, units=200))
    whole = kendall_matrix(ranked)
    monkeypatch.setattr(rankings, "_BLOCK", 4 * 200 * 7)  # 7 rows a block: the last one is shorter
    assert kendall_matrix(ranked) == pytest.approx(whole, abs=1e-12)
    monkeypatch.setattr(rankings, "_COMPARISONS_A_PAIR", 0)
    assert kendall_matrix(ranked) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("comparisons", [0, 200_000])
def test_a_constant_row_is_undefined_with_every_other(monkeypatch, comparisons):
    monkeypatch.setattr(rankings, "_COMPARISONS_A_PAIR", comparisons)
    ranked = rank_scores(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0], [1.0, 3.0, 2.0]]))
    for figure in (spearman_matrix, kendall_matrix):
        found = figure(ranked)
        assert np.isnan(found[1]).all()
        assert np.isnan(found[:, 1]).all()
        assert not np.isnan(found[0, 2])


def test_jaccard_of_all_pairs_is_that_of_the_sets():
    scores = tied_scores()
    found = jaccard_matrix(rank_scores(scores), ratio=0.3)
    removed = [set(np.argsort(row, kind="stable")[:12].tolist()) for row in scores]
    for a, first in enumerate(removed):
        for b, second in enumerate(removed):
            assert found[a, b] == len(first & second) / len(first | second)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("units", [2, 3, 40])
def test_overlap_equals_webbers_formula(p, units):
    scores = tied_scores(units=units)
    found = rbo_matrix(rank_scores(scores), p=p)
    for a in range(len(scores)):
        for b in range(len(scores)):
            assert found[a, b] == pytest.approx(slow_rbo(scores[a], scores[b], p=p), abs=1e-12)


def test_overlap_by_hand():
    # Orders 0 1 2 and 1 0 2: X = 0, 2, 3. With p = 1/2: 1/8 + (2/2 · 1/4 + 3/3 · 1/8) = 1/2.
    scores = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    assert rbo_matrix(rank_scores(scores), p=0.5)[0, 1] == pytest.approx(0.5)


def test_overlap_is_one_for_the_same_order_and_small_for_disjoint_tops():
    up = np.arange(200.0)
    found = rbo_matrix(rank_scores(np.stack([up, up**3, -up, np.roll(up, 100)])))
    assert found[0, 1] == pytest.approx(1, abs=1e-12)
    assert found[0, 2] < 1e-5  # what goes first in one goes last in the other
    assert found[0, 3] < 1e-5


def test_overlap_weighs_what_goes_first():
    up = np.arange(50.0)
    early, late = up.copy(), up.copy()
    early[[0, 5]] = up[[5, 0]]
    late[[44, 49]] = up[[49, 44]]
    found = rbo_matrix(rank_scores(np.stack([up, early, late])))
    assert found[0, 1] < 0.9
    assert found[0, 2] > 0.999


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.5])
def test_a_persistence_outside_0_and_1_is_refused(p):
    with pytest.raises(ValueError, match="0 < p < 1"):
        rbo_matrix(rank_scores(np.ones((2, 3))), p=p)


@pytest.mark.parametrize("units", [0, 1])
def test_nothing_to_rank_is_undefined(units):
    ranked = rank_scores(np.ones((2, units)))
    assert np.isnan(spearman_matrix(ranked)).all()
    assert np.isnan(kendall_matrix(ranked)).all()
    assert np.isnan(rbo_matrix(ranked)).all()
    assert np.isnan(jaccard_matrix(ranked, ratio=0.5)).all()
