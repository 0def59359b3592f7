"""The noise floor: how far a criterion agrees with itself when it is scored again on other images or seed.

Two criteria that differ no more than each differs from itself have not been told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunecli.analysis.agreement import Agreement, LayerScores, agreement, average
from prunecli.analysis.rankings import PERSISTENCE


@dataclass(frozen=True)
class Noise:
    """A criterion against itself, layer by layer and averaged over layers."""

    criterion: str
    exact: bool
    """Both scorings are equal, number for number: nothing of what was changed has a part in the score."""
    average: Agreement
    layers: Mapping[str, Agreement]

    def document(self) -> dict[str, Any]:
        """The JSON of one criterion."""
        layers = [{"name": name, **layer.document()} for name, layer in self.layers.items()]
        return {
            "criterion": self.criterion,
            "exact": self.exact,
            **self.average.document(),
            "layers": layers,
        }


def noise_floor(
    scores: LayerScores,
    again: LayerScores,
    *,
    criteria: Sequence[str],
    ratios: Sequence[float],
    p: float = PERSISTENCE,
) -> tuple[Noise, ...]:
    """Each criterion of `scores` against the same criterion of `again`, a second scoring.

    A criterion that no layer of `again` names was not scored again since nothing could change it: it is
    exact, and its figures are those of `scores` with itself, 1 wherever there is a ranking. None in `again`
    is a layer without the criterion, and has no figures. Raises ValueError when both score different units.
    """
    return tuple(_noise(name, scores, again, ratios, p) for name in criteria)


def _noise(
    criterion: str, scores: LayerScores, again: LayerScores, ratios: Sequence[float], p: float
) -> Noise:
    rescored = any(criterion in members for members in again.values())
    layers: dict[str, Agreement] = {}
    exact = True
    for name, members in scores.items():
        first = members.get(criterion)
        second = again.get(name, {}).get(criterion) if rescored else first
        if first is not None and second is not None:
            if len(first) != len(second):
                raise ValueError(f"{criterion} scores {len(first)} units in {name}, then {len(second)}")
            exact = exact and np.array_equal(first, second)
        elif first is not None or second is not None:
            exact = False
        layers[name] = agreement(first, second, ratios=ratios, p=p)
    return Noise(criterion, exact, average(layers.values(), ratios), layers)
