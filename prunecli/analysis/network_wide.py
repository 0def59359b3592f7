"""Every pair of criteria over one ranking of all units of all layers, by how scores were brought together.

Inside a layer a scale common to its filters changes nothing; over the network it decides which layers lose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from prunecli.analysis.agreement import LayerScores, defined
from prunecli.analysis.rankings import (
    PERSISTENCE,
    Matrix,
    Rankings,
    jaccard_matrix,
    kendall_by_sorting,
    rank_scores,
    rbo_matrix,
    spearman_matrix,
)
from prunecli.scoring.normalization import ALL_NORMALIZATIONS, NORMALIZATIONS, PER_MAC, normalise_scores

Pair = tuple[str, str]


@dataclass(frozen=True)
class ScaledAgreement:
    """Two criteria on the scores of all layers in one list, over the layers that both can score."""

    a: str
    b: str
    spearman: float | None
    jaccard: Mapping[str, float | None]
    rbo: float | None

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        return {
            "a": self.a,
            "b": self.b,
            "spearman": self.spearman,
            "jaccard": dict(self.jaccard),
            "rbo": self.rbo,
        }


@dataclass(frozen=True)
class GlobalAgreement(ScaledAgreement):
    """Two criteria on the raw scores of all layers in one list."""

    kendall: float | None

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        return {**super().document(), "kendall": self.kendall}


@dataclass(frozen=True)
class NormalizedAgreement:
    """All pairs over the network under one normalization."""

    normalization: str
    pairs: tuple[ScaledAgreement, ...]
    left_out: tuple[str, ...]
    """Layers without a scale for it: those whose channels have no cost, for `per-MAC`."""

    def document(self) -> dict[str, Any]:
        """The JSON of one normalization."""
        return {
            "normalization": self.normalization,
            "pairs": [pair.document() for pair in self.pairs],
            "left_out": list(self.left_out),
        }


def global_agreement(
    scores: LayerScores, *, a: str, b: str, ratios: Sequence[float], p: float = PERSISTENCE
) -> GlobalAgreement:
    """The criteria `a` and `b` compared over one ranking of all units of all layers."""
    return global_agreements(scores, criteria=(a, b), ratios=ratios, p=p)[0]


def global_agreements(
    scores: LayerScores, *, criteria: Sequence[str], ratios: Sequence[float], p: float = PERSISTENCE
) -> tuple[GlobalAgreement, ...]:
    """All pairs of `criteria` compared over one ranking of the scores as they are."""
    found: dict[Pair, GlobalAgreement] = {}
    for layers, pairs in _by_shared_layers(scores, criteria).items():
        names = _named(pairs, criteria)
        ranked = rank_scores(_listed(scores, layers, names))
        for one in _scaled(ranked, ranked, names, pairs, ratios=ratios, p=p):
            a, b = names.index(one.a), names.index(one.b)
            tau = kendall_by_sorting(ranked.ranks[a], ranked.ranks[b])
            found[one.a, one.b] = GlobalAgreement(**vars(one), kendall=defined(tau))
    return tuple(found[pair] for pair in combinations(criteria, 2))


def normalized_agreements(
    scores: LayerScores,
    overall: Sequence[ScaledAgreement],
    *,
    criteria: Sequence[str],
    ratios: Sequence[float],
    costs: Mapping[str, float] | None = None,
    p: float = PERSISTENCE,
) -> tuple[NormalizedAgreement, ...]:
    """All pairs of `criteria` over one ranking, by each normalization; `overall` are those without one.

    `costs` are MACs that removing one channel of a layer saves; without them there is no `per-MAC`.
    """
    plain = tuple(ScaledAgreement(one.a, one.b, one.spearman, one.jaccard, one.rbo) for one in overall)
    ways = NORMALIZATIONS if costs is None else ALL_NORMALIZATIONS
    return tuple(
        NormalizedAgreement(how, plain, ())
        if how == "none"
        else _normalized(scores, criteria, how, ratios=ratios, costs=costs or {}, p=p)
        for how in ways
    )


def _normalized(
    scores: LayerScores,
    criteria: Sequence[str],
    how: str,
    *,
    ratios: Sequence[float],
    costs: Mapping[str, float],
    p: float,
) -> NormalizedAgreement:
    left_out = [name for name in scores if how == PER_MAC and not costs.get(name, 0.0) > 0]
    kept = {name: members for name, members in scores.items() if name not in left_out}
    scaled = {
        name: {
            criterion: of if of is None or not len(of) else normalise_scores(of, how, cost=costs.get(name))
            for criterion, of in members.items()
        }
        for name, members in kept.items()
    }
    found: dict[Pair, ScaledAgreement] = {}
    for layers, pairs in _by_shared_layers(kept, criteria).items():
        names = _named(pairs, criteria)
        ranked = rank_scores(_listed(scaled, layers, names))
        # What is removed goes by the normalised scores, in whose ranks ties go by index; a correlation
        # must see equal scores as equal.
        correlated = rank_scores(_rank_shares(kept, layers, names)) if how == "rank" else ranked
        for one in _scaled(ranked, correlated, names, pairs, ratios=ratios, p=p):
            found[one.a, one.b] = one
    return NormalizedAgreement(how, tuple(found[pair] for pair in combinations(criteria, 2)), tuple(left_out))


def _by_shared_layers(scores: LayerScores, criteria: Sequence[str]) -> dict[tuple[str, ...], list[Pair]]:
    """Layers that both can score → the pairs of which that is true: each such list is ranked once."""
    found: dict[tuple[str, ...], list[Pair]] = defaultdict(list)
    known = {
        name: {layer for layer, members in scores.items() if members.get(name) is not None}
        for name in criteria
    }
    for a, b in combinations(criteria, 2):
        shared = known[a] & known[b]
        found[tuple(layer for layer in scores if layer in shared)].append((a, b))
    return found


def _named(pairs: Sequence[Pair], criteria: Sequence[str]) -> list[str]:
    members = {name for pair in pairs for name in pair}
    return [name for name in criteria if name in members]


def _listed(scores: LayerScores, layers: Sequence[str], names: Sequence[str]) -> Matrix:
    """(criteria, units of all the layers)."""
    if not layers:
        return np.empty((len(names), 0))
    return np.stack([np.concatenate([scores[layer][name] for layer in layers]) for name in names])


def _rank_shares(scores: LayerScores, layers: Sequence[str], names: Sequence[str]) -> Matrix:
    """(criteria, units): average rank ÷ units of the layer; 0 for a criterion that no layer varies in."""
    shares = [np.empty((len(names), 0))]
    varies = np.zeros(len(names), dtype=bool)
    for layer in layers:
        ranks = rank_scores(_listed(scores, [layer], names)).ranks
        if ranks.shape[1]:
            varies |= np.ptp(ranks, axis=1) > 0
            shares.append(ranks / ranks.shape[1])
    found: Matrix = np.concatenate(shares, axis=1)
    found[~varies] = 0
    return found


def _scaled(
    removed: Rankings,
    correlated: Rankings,
    names: Sequence[str],
    pairs: Sequence[Pair],
    *,
    ratios: Sequence[float],
    p: float,
) -> list[ScaledAgreement]:
    rho = spearman_matrix(correlated)
    overlap = rbo_matrix(removed, p=p)
    shares = {str(ratio): jaccard_matrix(removed, ratio=ratio) for ratio in ratios}
    place = {name: number for number, name in enumerate(names)}
    found = []
    for a, b in pairs:
        at = place[a], place[b]
        by_ratio = {ratio: defined(share[at]) for ratio, share in shares.items()}
        found.append(ScaledAgreement(a, b, defined(rho[at]), by_ratio, defined(overlap[at])))
    return found
