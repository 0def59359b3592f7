"""Whether a criterion can tell the filters of a layer apart, by the spread of its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunecli.analysis.agreement import LayerScores, mean
from prunecli.scoring.ranking import Scores, removed_count


@dataclass(frozen=True)
class LayerContrast:
    """One criterion in one layer; both figures are relative to the layer's mean score."""

    cv: float | None
    """Coefficient of variation: standard deviation ÷ |mean|."""
    gap: float | None
    """(lowest score that stays − highest score that goes) ÷ |mean|."""


@dataclass(frozen=True)
class Applicability:
    """One criterion layer by layer, and its average coefficient of variation."""

    criterion: str
    layers: Mapping[str, LayerContrast]
    cv: float | None

    def document(self) -> dict[str, Any]:
        """The JSON of one criterion."""
        layers = [{"name": name, "cv": layer.cv, "gap": layer.gap} for name, layer in self.layers.items()]
        return {"criterion": self.criterion, "layers": layers, "cv": self.cv}


def contrast(scores: Scores, *, ratio: float) -> LayerContrast:
    """The spread of scores (N,) and the gap at `ratio`.

    None for both when the mean is 0; None for the gap when all or none would go.
    """
    scale = abs(float(scores.mean())) if len(scores) else 0.0
    if scale == 0:
        return LayerContrast(None, None)
    count = removed_count(ratio, units=len(scores))
    ordered = np.sort(scores)
    split = 0 < count < len(scores)
    gap = float(ordered[count] - ordered[count - 1]) / scale if split else None
    return LayerContrast(float(scores.std()) / scale, gap)


def applicability(scores: LayerScores, *, criterion: str, ratio: float) -> Applicability:
    """The contrast of `criterion` in every layer, its gap taken at `ratio`."""
    layers: dict[str, LayerContrast] = {}
    for name, members in scores.items():
        given = members.get(criterion)
        layers[name] = LayerContrast(None, None) if given is None else contrast(given, ratio=ratio)
    return Applicability(criterion, layers, mean(layer.cv for layer in layers.values()))
