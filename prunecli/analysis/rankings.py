"""How alike rankings of the same units are, for all pairs of criteria at once.

Each criterion is ranked once; the figures of all pairs then are products of matrices. c criteria, N units.
NaN is what cannot be computed: a correlation with a constant ranking, an overlap of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from prunecli.scoring.ranking import removed_count

Matrix = NDArray[np.float64]
Positions = NDArray[np.intp]

PERSISTENCE = 0.9
"""p of rank-biased overlap: the first ten places carry 86 % of the weight (Webber et al. 2010)."""

# One pair by sorting (scipy) takes about as long as 200 000 comparisons of one criterion's scores.
_COMPARISONS_A_PAIR = 200_000
_BLOCK = 4_000_000  # comparisons held at once, as float32


@dataclass(frozen=True, eq=False)
class Rankings:
    """The scores of c criteria for N units, each sorted once."""

    positions: Positions
    """(c, N): the place of each unit in the order of removal, 0 goes first; ties by index."""
    ranks: Matrix
    """(c, N): ranks from 1, equal scores share the average of theirs."""


def rank_scores(scores: Matrix) -> Rankings:
    """Rank (c, N) scores, row by row."""
    order = np.argsort(scores, axis=1, kind="stable")
    places = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    positions = _scattered(places, order)
    ordered = np.take_along_axis(scores, order, axis=1)
    risen = ordered[:, 1:] != ordered[:, :-1]
    if risen.all():
        return Rankings(positions, positions + 1.0)
    # Of each run of equal scores the first and the last place; their middle is what the run shares.
    edge = np.ones((len(scores), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, risen]), places, 0), axis=1)
    ends = np.where(np.hstack([risen, edge]), places, scores.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return Rankings(positions, _scattered((first + last) / 2 + 1, order))


def _scattered(values: NDArray[Any], order: Positions) -> NDArray[Any]:
    """`values` in sorted order, put where they came from."""
    found = np.empty(values.shape, values.dtype)
    np.put_along_axis(found, order, values, axis=1)
    return found


def spearman_matrix(rankings: Rankings) -> Matrix:
    """(c, c) rank correlations, ties by average rank."""
    criteria, units = rankings.ranks.shape
    if units < 2:
        return np.full((criteria, criteria), np.nan)
    centred = rankings.ranks - (units + 1) / 2
    with np.errstate(invalid="ignore"):
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    found: Matrix = np.clip(unit @ unit.T, -1, 1)
    return found


def kendall_matrix(rankings: Rankings) -> Matrix:
    """(c, c) of Kendall's tau-b."""
    ranks = rankings.ranks
    criteria, units = ranks.shape
    pairs = criteria * (criteria - 1) // 2
    if units < 2:
        return np.full((criteria, criteria), np.nan)
    if criteria * units**2 > pairs * _COMPARISONS_A_PAIR:
        by_pair = np.diag(np.where(np.ptp(ranks, axis=1) > 0, 1.0, np.nan))
        for a, b in combinations(range(criteria), 2):
            by_pair[a, b] = by_pair[b, a] = kendall_by_sorting(ranks[a], ranks[b])
        return by_pair
    concordance = _concordance(ranks)
    untied = np.sqrt(np.diagonal(concordance))
    with np.errstate(invalid="ignore"):
        found: Matrix = concordance / untied[:, None] / untied
    return found


def kendall_by_sorting(a: Matrix, b: Matrix) -> float:
    """Kendall's tau-b of (N,) and (N,), in O(N log N): for long lists."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.kendalltau(a, b, variant="b").statistic)


def jaccard_matrix(rankings: Rankings, *, ratio: float) -> Matrix:
    """(c, c) of |A ∩ B| ÷ |A ∪ B| of the ⌊ratio × N⌋ units that go first."""
    criteria, units = rankings.positions.shape
    count = removed_count(ratio, units=units)
    if count == 0:
        return np.full((criteria, criteria), np.nan)
    removed = (rankings.positions < count).astype(np.float64)
    common = removed @ removed.T
    shares: Matrix = common / (2 * count - common)
    return shares


def rbo_matrix(rankings: Rankings, *, p: float = PERSISTENCE) -> Matrix:
    """(c, c) of extrapolated rank-biased overlap of the orders of removal (Webber et al. 2010).

    With all N units in both lists, RBO_ext = pᴺ + (1 − p)/p Σ_d X_d pᵈ/d, X_d the units that are among the
    first d of both. A unit counts at every depth from the later of its two places m on, so that
    Σ_d X_d pᵈ/d = Σ_i W(m_i) with W(m) = Σ_{d ≥ m} pᵈ/d; and W falls, so W(max) is the lesser of two weights.
    """
    if not 0 < p < 1:
        raise ValueError(f"rank-biased overlap needs 0 < p < 1, not {p}")
    criteria, units = rankings.positions.shape
    found = np.full((criteria, criteria), np.nan)
    if units < 2:
        return found
    depth = np.arange(1, units + 1)
    weight = np.cumsum((p**depth / depth)[::-1])[::-1]
    at = weight[rankings.positions]
    for row in range(criteria):
        overlap = np.minimum(at[row], at[row:]).sum(axis=1)
        found[row, row:] = found[row:, row] = p**units + (1 - p) / p * overlap
    return found


def _concordance(ranks: Matrix) -> Matrix:
    """(c, N) → (c, c): concordant − discordant pairs of units; on the diagonal, pairs that are not tied."""
    criteria, units = ranks.shape
    # Average ranks differ by halves at least: doubled, by whole numbers, and clipping gives the signs.
    doubled = (2 * ranks).astype(np.float32)
    rows = max(1, _BLOCK // (criteria * units))
    total = np.zeros((criteria, criteria))
    for start in range(0, units, rows):
        stop = min(units, start + rows)
        signs = doubled[:, start:stop, None] - doubled[:, None, start:]
        np.clip(signs, -1, 1, out=signs)
        # float32 holds these sums exactly: a block has fewer than 2²⁴ comparisons of one criterion.
        inner = signs[:, :, : stop - start].reshape(criteria, -1)
        outer = signs[:, :, stop - start :].reshape(criteria, -1)
        total += (inner @ inner.T) / 2 + outer @ outer.T  # inside the block each pair stands twice
    return total
