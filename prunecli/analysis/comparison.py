"""The whole comparison of criteria: every pair, every layer, the network, and what it comes to in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from prunecli.analysis.agreement import LayerScores
from prunecli.analysis.applicability import Applicability, applicability
from prunecli.analysis.cwda import (
    LayerDistribution,
    LayerWeights,
    distribution_remarks,
    weight_distributions,
)
from prunecli.analysis.network_wide import (
    GlobalAgreement,
    NormalizedAgreement,
    global_agreements,
    normalized_agreements,
)
from prunecli.analysis.noise import Noise, noise_floor
from prunecli.analysis.pairs import PairAgreement, pair_agreements
from prunecli.analysis.rankings import PERSISTENCE
from prunecli.analysis.remarks import contrast_remarks, noise_remarks, pair_remarks
from prunecli.analysis.score_arrays import score_arrays
from prunecli.scoring.ranking import Scores, removal_order


@dataclass(frozen=True)
class Comparison:
    """Criteria compared on the same layers."""

    criteria: tuple[str, ...]
    ratios: tuple[float, ...]
    pairs: tuple[PairAgreement, ...]
    overall: tuple[GlobalAgreement, ...]
    by_normalization: tuple[NormalizedAgreement, ...]
    applicability: tuple[Applicability, ...]
    first_pruned: Mapping[str, Mapping[str, tuple[int, ...] | None]]
    """Layer → criterion → the indices that go first; None where the criterion is not defined."""
    p: float = PERSISTENCE
    """Of rank-biased overlap."""
    noise: tuple[Noise, ...] | None = None
    """None when nothing was scored a second time."""
    distributions: tuple[LayerDistribution, ...] | None = None
    """None when the weights were not tested."""
    not_finite: Mapping[str, tuple[str, ...]] | None = None
    """Criterion → layers where its scores are not finite, and so are left out."""

    def document(self) -> dict[str, Any]:
        """The JSON of `compare`, without schema and version."""
        first = [
            {
                "layer": layer,
                "indices": {name: None if of is None else list(of) for name, of in chosen.items()},
            }
            for layer, chosen in self.first_pruned.items()
        ]
        document: dict[str, Any] = {
            "criteria": list(self.criteria),
            "ratios": list(self.ratios),
            "rbo_p": self.p,
            "pairs": [pair.document() for pair in self.pairs],
            "global": [pair.document() for pair in self.overall],
            "global_by_normalization": [one.document() for one in self.by_normalization],
            "applicability": [one.document() for one in self.applicability],
            "first_pruned": first,
        }
        if self.noise is not None:
            document["noise"] = [one.document() for one in self.noise]
        if self.distributions is not None:
            document["cwda"] = [one.document() for one in self.distributions]
        return document

    def remarks(self) -> tuple[str, ...]:
        """Warnings in words: criteria that choose or rank alike, that are noise, that have no contrast."""
        unusable = tuple(
            f"{name} has scores that are not finite in {', '.join(layers)}: left out there"
            for name, layers in (self.not_finite or {}).items()
        )
        noise = self.noise or ()
        return (
            *unusable,
            *pair_remarks(self.pairs, self.overall, noise),
            *noise_remarks(noise),
            *contrast_remarks(self.applicability),
            *distribution_remarks(self.distributions or ()),
        )


def compare_scores(
    scores: Mapping[str, Mapping[str, Tensor | Scores | None]],
    *,
    criteria: Sequence[str],
    ratios: Sequence[float],
    top: int = 8,
    p: float = PERSISTENCE,
    costs: Mapping[str, float] | None = None,
    again: Mapping[str, Mapping[str, Tensor | Scores | None]] | None = None,
    weights: Iterable[LayerWeights] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare `criteria` on `scores`: layer → criterion → (N,) or None where it is not defined.

    Ratios are fractions removed; the gap in `applicability` is taken at the first of them. `top` is how
    many of the first pruned indices are listed, `p` the persistence of rank-biased overlap, `seed` that of
    the intervals. `costs` are MACs that removing one channel of a layer saves, for the `per-MAC`
    normalization; `again` is a second scoring on other images or with another seed, for the noise floor,
    without the criteria that this cannot change; `weights` are those to test for the weight-distribution
    assumption. Raises ValueError when there is no ratio or when the criteria of a layer score different
    numbers of units.
    """
    if not ratios:
        raise ValueError("comparing needs at least one ratio")
    arrays = score_arrays(scores, criteria)
    asked: dict[str, Any] = {"criteria": tuple(criteria), "ratios": tuple(ratios), "p": p}
    second = None if again is None else score_arrays(again, criteria)
    overall = global_agreements(arrays, **asked)
    return Comparison(
        **asked,
        pairs=pair_agreements(arrays, **asked, seed=seed),
        overall=overall,
        by_normalization=normalized_agreements(arrays, overall, **asked, costs=costs),
        applicability=tuple(applicability(arrays, criterion=c, ratio=ratios[0]) for c in criteria),
        first_pruned=_first_pruned(arrays, criteria, top=top),
        noise=None if second is None else noise_floor(arrays, second, **asked),
        distributions=None if weights is None else weight_distributions(weights),
        not_finite=_not_finite(scores, arrays, criteria),
    )


def _not_finite(
    scores: Mapping[str, Mapping[str, Tensor | Scores | None]],
    arrays: LayerScores,
    criteria: Sequence[str],
) -> dict[str, tuple[str, ...]]:
    found = {
        name: tuple(
            layer
            for layer, members in scores.items()
            if members.get(name) is not None and arrays[layer][name] is None
        )
        for name in criteria
    }
    return {name: layers for name, layers in found.items() if layers}


def _first_pruned(
    scores: LayerScores, criteria: Sequence[str], *, top: int
) -> dict[str, dict[str, tuple[int, ...] | None]]:
    return {
        layer: {
            name: None if (given := members.get(name)) is None else tuple(removal_order(given)[:top].tolist())
            for name in criteria
        }
        for layer, members in scores.items()
    }
