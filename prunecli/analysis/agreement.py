"""How alike two criteria rank the same units: Spearman, Kendall, and Jaccard and overlap of what they remove.

What cannot be computed is None, never 0 and never NaN: the correlation of a constant ranking, the
Jaccard index of two empty sets, a layer that one of the two criteria cannot score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunecli.analysis.rankings import (
    PERSISTENCE,
    Matrix,
    Rankings,
    jaccard_matrix,
    kendall_matrix,
    rank_scores,
    rbo_matrix,
    spearman_matrix,
)
from prunecli.scoring.ranking import Scores

LayerScores = Mapping[str, Mapping[str, "Scores | None"]]
"""Layer → criterion → scores (N,), None where the criterion is not defined for the layer."""


@dataclass(frozen=True)
class Agreement:
    """Two criteria on one list of units: correlations in −1 … 1, Jaccard by ratio and overlap in 0 … 1."""

    spearman: float | None
    kendall: float | None
    jaccard: Mapping[str, float | None]
    rbo: float | None
    """Rank-biased overlap of the orders of removal."""

    def document(self) -> dict[str, Any]:
        """The JSON of the figures."""
        return {
            "spearman": self.spearman,
            "kendall": self.kendall,
            "jaccard": dict(self.jaccard),
            "rbo": self.rbo,
        }


def spearman(a: Scores, b: Scores) -> float | None:
    """Rank correlation of (N,) and (N,), ties by average rank; None when one of them is constant."""
    return defined(spearman_matrix(_both(a, b))[0, 1])


def kendall(a: Scores, b: Scores) -> float | None:
    """Kendall's tau-b of (N,) and (N,); None when one of them is constant."""
    return defined(kendall_matrix(_both(a, b))[0, 1])


def jaccard(a: Scores, b: Scores, *, ratio: float) -> float | None:
    """|A ∩ B| ÷ |A ∪ B| of what each removes at `ratio`; None when that is nothing."""
    return defined(jaccard_matrix(_both(a, b), ratio=ratio)[0, 1])


def rbo(a: Scores, b: Scores, *, p: float = PERSISTENCE) -> float | None:
    """Extrapolated rank-biased overlap of the orders in which (N,) and (N,) are removed; None for N < 2."""
    return defined(rbo_matrix(_both(a, b), p=p)[0, 1])


def mean(figures: Iterable[float | None]) -> float | None:
    """The average of the figures that are defined; None when none is."""
    found = [figure for figure in figures if figure is not None]
    return sum(found) / len(found) if found else None


def average(layers: Iterable[Agreement], ratios: Sequence[float]) -> Agreement:
    """Each figure averaged over the layers where it is defined."""
    layers = tuple(layers)
    return Agreement(
        spearman=mean(layer.spearman for layer in layers),
        kendall=mean(layer.kendall for layer in layers),
        jaccard={str(ratio): mean(layer.jaccard[str(ratio)] for layer in layers) for ratio in ratios},
        rbo=mean(layer.rbo for layer in layers),
    )


def agreement(a: Scores | None, b: Scores | None, *, ratios: Sequence[float], p: float) -> Agreement:
    """All figures of (N,) and (N,); all None when one of the two is."""
    if a is None or b is None:
        return undefined(ratios)
    figures = figure_matrices(np.stack([a, b]), ratios=ratios, p=p)
    return from_figures(figures[:, 0, 1].tolist(), ratios)


def undefined(ratios: Sequence[float]) -> Agreement:
    """An agreement in which nothing could be computed."""
    return Agreement(None, None, {str(ratio): None for ratio in ratios}, None)


def figure_matrices(scores: Matrix, *, ratios: Sequence[float], p: float) -> Matrix:
    """(c, N) → (3 + ratios, c, c): Spearman, Kendall, overlap, and Jaccard at each ratio."""
    ranked = rank_scores(scores)
    overlaps = [jaccard_matrix(ranked, ratio=ratio) for ratio in ratios]
    return np.stack([spearman_matrix(ranked), kendall_matrix(ranked), rbo_matrix(ranked, p=p), *overlaps])


def from_figures(figures: Sequence[float], ratios: Sequence[float]) -> Agreement:
    """An agreement from figures in the order of `figure_matrices`."""
    rho, tau, overlap, *shares = map(defined, figures)
    by_ratio = {str(ratio): share for ratio, share in zip(ratios, shares, strict=True)}
    return Agreement(rho, tau, by_ratio, overlap)


def defined(figure: float) -> float | None:
    """A figure that is a number, None for NaN."""
    return float(figure) if np.isfinite(figure) else None


def _both(a: Scores, b: Scores) -> Rankings:
    return rank_scores(np.stack([a, b]))
