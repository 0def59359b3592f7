"""Scores of every layer's filters by every criterion asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from prunecli.criteria.contract import CRITERIA
from prunecli.graph.layers import Layer
from prunecli.scoring.evidence import collect_evidence

FilterScores = Mapping[str, Mapping[str, Tensor | None]]
"""Layer → criterion → (filters,), or None where the layer has not what the criterion reads."""


def score_filters(
    model: nn.Module, layers: Iterable[Layer], criteria: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, Tensor | None]]:
    """Score the filters of `layers`; raises WrongUse for an unknown criterion. Higher means keep."""
    chosen = [CRITERIA[name] for name in criteria]
    scores: dict[str, dict[str, Tensor | None]] = {}
    with torch.no_grad():
        for layer in layers:
            evidence = collect_evidence(model, layer, seed=seed)
            scores[layer.name] = {
                each.name: each.function(evidence) if each.available(evidence) else None for each in chosen
            }
    return scores
