"""Every pair of criteria inside every layer, averaged over layers, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunecli.analysis.agreement import Agreement, LayerScores, figure_matrices, from_figures
from prunecli.analysis.intervals import bootstrap_means
from prunecli.analysis.rankings import PERSISTENCE, Matrix
from prunecli.scoring.ranking import Scores

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class AgreementInterval:
    """Where 95 % of the averages over resampled layers lie; None for fewer than three layers."""

    spearman: Interval
    kendall: Interval
    jaccard: Mapping[str, Interval]
    rbo: Interval

    def document(self) -> dict[str, Any]:
        """The JSON of the intervals: [low, high] or null."""
        return {
            "spearman": _list(self.spearman),
            "kendall": _list(self.kendall),
            "jaccard": {ratio: _list(bounds) for ratio, bounds in self.jaccard.items()},
            "rbo": _list(self.rbo),
        }


@dataclass(frozen=True)
class PairAgreement:
    """Two criteria layer by layer, and the average over the layers where a figure is defined."""

    a: str
    b: str
    average: Agreement
    interval: AgreementInterval
    layers: Mapping[str, Agreement]

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        layers = [{"name": name, **layer.document()} for name, layer in self.layers.items()]
        return {
            "a": self.a,
            "b": self.b,
            **self.average.document(),
            "interval": self.interval.document(),
            "layers": layers,
        }


def pair_agreement(
    scores: LayerScores, *, a: str, b: str, ratios: Sequence[float], p: float = PERSISTENCE, seed: int = 0
) -> PairAgreement:
    """The criteria `a` and `b` compared inside every layer."""
    return pair_agreements(scores, criteria=(a, b), ratios=ratios, p=p, seed=seed)[0]


def pair_agreements(
    scores: LayerScores,
    *,
    criteria: Sequence[str],
    ratios: Sequence[float],
    p: float = PERSISTENCE,
    seed: int = 0,
) -> tuple[PairAgreement, ...]:
    """All pairs of `criteria`, in the order of `itertools.combinations`, compared inside every layer.

    `p` is that of rank-biased overlap, `seed` that of the intervals.
    """
    first, second = np.triu_indices(len(criteria), k=1)
    shape = (0, 3 + len(ratios), len(first))
    found = [_layer_figures(members, criteria, ratios, p)[:, first, second] for members in scores.values()]
    figures = np.stack(found) if found else np.empty(shape)  # (layers, figures, pairs)
    columns = figures.reshape(len(figures), shape[1] * shape[2])
    lows, highs = bootstrap_means(columns, seed=seed).reshape(2, *shape[1:])
    means = _means(figures)
    listed = figures.transpose(2, 0, 1).tolist()
    return tuple(
        PairAgreement(
            criteria[a],
            criteria[b],
            from_figures(means[:, pair].tolist(), ratios),
            _intervals(lows[:, pair].tolist(), highs[:, pair].tolist(), ratios),
            {name: from_figures(of, ratios) for name, of in zip(scores, listed[pair], strict=True)},
        )
        for pair, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True))
    )


def _layer_figures(
    members: Mapping[str, Scores | None], criteria: Sequence[str], ratios: Sequence[float], p: float
) -> Matrix:
    """(figures, c, c) of one layer, NaN for criteria that it has not."""
    figures = np.full((3 + len(ratios), len(criteria), len(criteria)), np.nan)
    given = [(place, of) for place, name in enumerate(criteria) if (of := members.get(name)) is not None]
    if given:
        places = [place for place, _ in given]
        stacked = np.stack([of for _, of in given])
        figures[np.ix_(range(len(figures)), places, places)] = figure_matrices(stacked, ratios=ratios, p=p)
    return figures


def _means(figures: Matrix) -> Matrix:
    """(layers, figures, pairs) → (figures, pairs): over the layers where a figure is defined."""
    known = ~np.isnan(figures)
    total = np.where(known, figures, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        averages: Matrix = total / known.sum(axis=0)
    return averages


def _intervals(lows: Sequence[float], highs: Sequence[float], ratios: Sequence[float]) -> AgreementInterval:
    bounds = [(low, high) if np.isfinite(low) else None for low, high in zip(lows, highs, strict=True)]
    rho, tau, overlap, *shares = bounds
    by_ratio = {str(ratio): share for ratio, share in zip(ratios, shares, strict=True)}
    return AgreementInterval(rho, tau, by_ratio, overlap)


def _list(bounds: Interval) -> list[float] | None:
    return None if bounds is None else list(bounds)
