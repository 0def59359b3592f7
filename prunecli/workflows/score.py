"""Score every filter of every layer, and every channel of every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.scoring.filter_scores import FilterScores, score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.scoring.normalization import normalise_scores
from prunecli.workflows.opening import Opened, Opening, open_checkpoint

GroupScores = Mapping[str, Mapping[str, NDArray[np.float64] | None]]


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Scores by layer and by group, criterion by criterion; higher means keep."""

    opened: Opened
    graph: ChannelGraph
    criteria: tuple[str, ...]
    scope: str
    layers: FilterScores
    groups: GroupScores  # criterion → group → (channels,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way."""
        return self.opened.notes

    def document(self) -> dict[str, Any]:
        """The JSON of `score`."""
        layers = [
            {
                "name": layer.name,
                "type": layer.type,
                "filters": layer.channels,
                "scores": {name: _tensor_list(self.layers[layer.name][name]) for name in self.criteria},
            }
            for layer in self.graph.layers
        ]
        groups = [
            {
                "name": group.name,
                "channels": group.channels,
                "scores": {name: _list(self.groups[name][group.name]) for name in self.criteria},
            }
            for group in self.graph.prunable
        ]
        return {
            "checkpoint": self.opened.summary(),
            "criteria": list(self.criteria),
            "scope": self.scope,
            "layers": layers,
            "groups": groups,
        }


def score(opening: Opening, *, criteria: Sequence[str], scope: str = "local", seed: int = 0) -> ScoreResult:
    """Score a checkpoint by `criteria`; with scope "global" a group's scores are divided by their mean.

    Raises WrongUse for an unknown criterion, InputRefused when the checkpoint cannot be opened.
    """
    opened = open_checkpoint(opening)
    graph = build_graph(opened.model, opened.architecture.input_shape)
    filters = score_filters(opened.model, graph, criteria, seed=seed)
    groups = {name: score_groups(graph.prunable, graph.layers, filters, name) for name in criteria}
    if scope == "global":
        groups = {
            name: {g: None if v is None else normalise_scores(v, "mean") for g, v in found.items()}
            for name, found in groups.items()
        }
    return ScoreResult(opened, graph, tuple(criteria), scope, filters, groups)


def _tensor_list(scores: Tensor | None) -> list[float] | None:
    return None if scores is None else [float(value) for value in scores.double().tolist()]


def _list(scores: NDArray[np.float64] | None) -> list[float] | None:
    return None if scores is None else [float(value) for value in scores.tolist()]
