"""Scores of every layer's filters by every criterion asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.criteria.contract import Needs
from prunecli.criteria.specification import criterion_named
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.scoring.evidence import collect_evidence

FilterScores = Mapping[str, Mapping[str, Tensor | None]]
"""Layer → criterion → (filters,), or None where the layer has not what the criterion reads."""


def needs_of(criteria: Iterable[str]) -> Needs:
    """All that the criteria read, taken together; raises WrongUse for an unknown one."""
    return reduce(or_, (criterion_named(name).needs for name in criteria), Needs.NOTHING)


def score_filters(
    model: nn.Module,
    graph: ChannelGraph,
    criteria: Sequence[str],
    *,
    gathered: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Tensor | None]]:
    """Score the filters of the graph's layers; raises WrongUse for an unknown criterion. Higher means keep.

    `gathered` is what a calibration found, by layer; ValueError when a criterion needs one and none is given.
    """
    chosen = [(name, criterion_named(name)) for name in criteria]
    wanting = [name for name, each in chosen if each.needs_data]
    if wanting and gathered is None:
        raise ValueError(f"{wanting[0]} needs a calibration")
    needs = needs_of(criteria)
    scores: dict[str, dict[str, Tensor | None]] = {}
    with torch.no_grad():
        for layer in graph.layers:
            found = (gathered or {}).get(layer.name)
            evidence = collect_evidence(model, graph, layer, needs=needs, gathered=found, seed=seed)
            scores[layer.name] = {
                name: each.function(evidence) if each.available(evidence) else None for name, each in chosen
            }
    return scores
