"""How alike two criteria rank the same units: Spearman, Kendall, and Jaccard of what they remove.

What cannot be computed is None, never 0 and never NaN: the correlation of a constant ranking, the
Jaccard index of two empty sets, a layer that one of the two criteria cannot score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from prunecli.scoring.ranking import Scores, removed_set

LayerScores = Mapping[str, Mapping[str, "Scores | None"]]
"""Layer → criterion → scores (N,), None where the criterion is not defined for the layer."""


@dataclass(frozen=True)
class Agreement:
    """Two criteria on one list of units: correlations in −1 … 1, Jaccard in 0 … 1 by ratio."""

    spearman: float | None
    kendall: float | None
    jaccard: Mapping[str, float | None]

    def document(self) -> dict[str, Any]:
        """The JSON of the three figures."""
        return {"spearman": self.spearman, "kendall": self.kendall, "jaccard": dict(self.jaccard)}


@dataclass(frozen=True)
class PairAgreement:
    """Two criteria layer by layer, and the average over the layers where a figure is defined."""

    a: str
    b: str
    average: Agreement
    layers: Mapping[str, Agreement]

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        layers = [{"name": name, **layer.document()} for name, layer in self.layers.items()]
        return {"a": self.a, "b": self.b, **self.average.document(), "layers": layers}


@dataclass(frozen=True)
class GlobalAgreement:
    """Two criteria on the raw scores of all layers in one list, over layers that both can score."""

    a: str
    b: str
    spearman: float | None
    jaccard: Mapping[str, float | None]

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        return {"a": self.a, "b": self.b, "spearman": self.spearman, "jaccard": dict(self.jaccard)}


def spearman(a: Scores, b: Scores) -> float | None:
    """Rank correlation of (N,) and (N,), ties by average rank; None when one of them is constant."""
    return None if _unranked(a, b) else _defined(stats.spearmanr(a, b).statistic)


def kendall(a: Scores, b: Scores) -> float | None:
    """Kendall's tau-b of (N,) and (N,); None when one of them is constant."""
    return None if _unranked(a, b) else _defined(stats.kendalltau(a, b, variant="b").statistic)


def jaccard(a: Scores, b: Scores, *, ratio: float) -> float | None:
    """|A ∩ B| ÷ |A ∪ B| of what each removes at `ratio`; None when that is nothing."""
    first, second = removed_set(a, ratio=ratio), removed_set(b, ratio=ratio)
    return len(first & second) / len(first | second) if first else None


def mean(figures: Iterable[float | None]) -> float | None:
    """The average of the figures that are defined; None when none is."""
    defined = [figure for figure in figures if figure is not None]
    return sum(defined) / len(defined) if defined else None


def pair_agreement(scores: LayerScores, *, a: str, b: str, ratios: Sequence[float]) -> PairAgreement:
    """The criteria `a` and `b` compared inside every layer."""
    layers = {name: _layer(members.get(a), members.get(b), ratios) for name, members in scores.items()}
    average = Agreement(
        spearman=mean(layer.spearman for layer in layers.values()),
        kendall=mean(layer.kendall for layer in layers.values()),
        jaccard={str(r): mean(layer.jaccard[str(r)] for layer in layers.values()) for r in ratios},
    )
    return PairAgreement(a, b, average, layers)


def global_agreement(scores: LayerScores, *, a: str, b: str, ratios: Sequence[float]) -> GlobalAgreement:
    """The criteria `a` and `b` compared over one ranking of all units of all layers."""
    both = [(members.get(a), members.get(b)) for members in scores.values()]
    shared = [(first, second) for first, second in both if first is not None and second is not None]
    if not shared:
        return GlobalAgreement(a, b, None, {str(ratio): None for ratio in ratios})
    first = np.concatenate([pair[0] for pair in shared])
    second = np.concatenate([pair[1] for pair in shared])
    sets = {str(ratio): jaccard(first, second, ratio=ratio) for ratio in ratios}
    return GlobalAgreement(a, b, spearman(first, second), sets)


def _layer(a: Scores | None, b: Scores | None, ratios: Sequence[float]) -> Agreement:
    if a is None or b is None:
        return Agreement(None, None, {str(ratio): None for ratio in ratios})
    return Agreement(spearman(a, b), kendall(a, b), {str(r): jaccard(a, b, ratio=r) for r in ratios})


def _unranked(a: Scores, b: Scores) -> bool:
    return len(a) < 2 or bool(np.ptp(a) == 0) or bool(np.ptp(b) == 0)


def _defined(figure: float) -> float | None:
    return float(figure) if np.isfinite(figure) else None
