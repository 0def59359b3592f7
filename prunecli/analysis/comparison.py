"""The whole comparison of criteria: every pair, every layer, and what it comes to in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from torch import Tensor

from prunecli.analysis.agreement import (
    GlobalAgreement,
    LayerScores,
    PairAgreement,
    global_agreement,
    pair_agreement,
)
from prunecli.analysis.applicability import Applicability, applicability
from prunecli.scoring.ranking import Scores, removal_order

# Above 0.9 rankings count as the same, below 0.05 scores as without contrast: Huang et al. 2021,
# arXiv:2004.11627. From a Jaccard index of 0.95 on, 39 of 40 removed filters are the same ones.
SAME_RANKING = 0.9
SAME_CHOICE = 0.95
NO_CONTRAST = 0.05


@dataclass(frozen=True)
class Comparison:
    """Criteria compared on the same layers."""

    criteria: tuple[str, ...]
    ratios: tuple[float, ...]
    pairs: tuple[PairAgreement, ...]
    overall: tuple[GlobalAgreement, ...]
    applicability: tuple[Applicability, ...]
    first_pruned: Mapping[str, Mapping[str, tuple[int, ...] | None]]
    """Layer → criterion → the indices that go first; None where the criterion is not defined."""

    def document(self) -> dict[str, Any]:
        """The JSON of `compare`, without schema and version."""
        first = [
            {
                "layer": layer,
                "indices": {name: None if of is None else list(of) for name, of in chosen.items()},
            }
            for layer, chosen in self.first_pruned.items()
        ]
        return {
            "criteria": list(self.criteria),
            "ratios": list(self.ratios),
            "pairs": [pair.document() for pair in self.pairs],
            "global": [pair.document() for pair in self.overall],
            "applicability": [one.document() for one in self.applicability],
            "first_pruned": first,
        }

    def remarks(self) -> tuple[str, ...]:
        """Warnings in words: pairs that choose or rank alike, criteria without contrast."""
        lines = [line for pair in self.pairs if (line := _pair_remark(pair)) is not None]
        lines += [
            f"{one.criterion} has no contrast (CV {one.cv:.2g}): it hardly tells one filter from another"
            for one in self.applicability
            if one.cv is not None and one.cv < NO_CONTRAST
        ]
        return tuple(lines)


def compare_scores(
    scores: Mapping[str, Mapping[str, Tensor | None]],
    *,
    criteria: Sequence[str],
    ratios: Sequence[float],
    top: int = 8,
) -> Comparison:
    """Compare `criteria` on `scores`: layer → criterion → (N,) or None where it is not defined.

    Ratios are fractions removed; the gap in `applicability` is taken at the first of them. `top` is how
    many of the first pruned indices are listed. Raises ValueError when there is no ratio or when the
    criteria of a layer score different numbers of units.
    """
    if not ratios:
        raise ValueError("comparing needs at least one ratio")
    arrays = {layer: _arrays(layer, members, criteria) for layer, members in scores.items()}
    pairs = tuple(combinations(criteria, 2))
    return Comparison(
        criteria=tuple(criteria),
        ratios=tuple(ratios),
        pairs=tuple(pair_agreement(arrays, a=a, b=b, ratios=ratios) for a, b in pairs),
        overall=tuple(global_agreement(arrays, a=a, b=b, ratios=ratios) for a, b in pairs),
        applicability=tuple(applicability(arrays, criterion=c, ratio=ratios[0]) for c in criteria),
        first_pruned=_first_pruned(arrays, top=top),
    )


def _arrays(
    layer: str, members: Mapping[str, Tensor | None], criteria: Sequence[str]
) -> dict[str, Scores | None]:
    arrays: dict[str, Scores | None] = {}
    for name in criteria:
        given = members.get(name)
        arrays[name] = None if given is None else given.detach().cpu().double().numpy()
    sizes = {len(array) for array in arrays.values() if array is not None}
    if len(sizes) > 1:
        raise ValueError(f"the criteria score different numbers of units in {layer}: {sorted(sizes)}")
    return arrays


def _first_pruned(scores: LayerScores, *, top: int) -> dict[str, dict[str, tuple[int, ...] | None]]:
    return {
        layer: {
            name: None if given is None else tuple(removal_order(given)[:top].tolist())
            for name, given in members.items()
        }
        for layer, members in scores.items()
    }


def _pair_remark(pair: PairAgreement) -> str | None:
    same = {ratio: share for ratio, share in pair.average.jaccard.items() if share is not None}
    if same and min(same.values()) >= SAME_CHOICE:
        at = " and ".join(f"{share:.2f} at {ratio}" for ratio, share in same.items())
        return (
            f"{pair.a} and {pair.b} choose the same filters here (Jaccard {at}): "
            "choosing between them changes nothing"
        )
    correlation = pair.average.spearman
    if correlation is not None and correlation > SAME_RANKING:
        return f"{pair.a} and {pair.b} rank alike (Spearman {correlation:.2f})"
    return None
