"""Score every filter of every layer, and every channel of every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.description import described
from prunecli.processes import is_main
from prunecli.progress import Progress, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.reports.pictures import score_distributions
from prunecli.scoring.filter_scores import FilterScores
from prunecli.scoring.group_scores import score_groups
from prunecli.scoring.normalization import normalise_scores
from prunecli.workflows.calibrating import Scorer, open_scorer, tell_calibration
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening
from prunecli.workflows.saved_scores import data_origin, save_scores
from prunecli.workflows.saving import destination
from prunecli.workflows.streamed_checkpoint import streamed_checkpoint
from prunecli.workflows.streaming_choice import is_streamed, obstacles_of_criteria

GroupScores = Mapping[str, Mapping[str, NDArray[np.float64] | None]]


@dataclass(frozen=True, eq=False)
class ScoreResult(ShownInNotebooks, command="score"):
    """Scores by layer and by group, criterion by criterion; higher means keep."""

    opened: Opened
    graph: ChannelGraph
    criteria: tuple[str, ...]
    scope: str
    layers: FilterScores
    groups: GroupScores  # criterion → group → (channels,)
    data: Mapping[str, Any] | None = None
    output: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The JSON of `score`."""
        layers = layers_document(self.graph, self.layers, self.criteria)
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
            "data": self.data,
            "layers": layers,
            "groups": groups,
            "graph": described(self.graph),
            "output": self.output,
        }


def score(
    opening: Opening,
    *,
    criteria: Sequence[str],
    scope: str = "local",
    seed: int = 0,
    calibration: Calibration | None = None,
    save: str | None = None,
    stream: bool | None = None,
    force: bool = False,
    keep: Keepsakes | None = None,
    progress: Progress = silent,
) -> ScoreResult:
    """Score a checkpoint by `criteria`; with scope "global" a group's scores are divided by their mean.

    Criteria that look at the network at work run it on the images of `calibration`. `save` keeps the
    scores of the filters in a file, `keep` says which pictures and reports to write. With `stream` the
    network is read from the disk tensor by tensor, without it (False) held in memory; None leaves it to the
    memory that there is. Raises WrongUse for an unknown criterion, InputRefused when the checkpoint or the
    data cannot be opened.
    """
    keep = keep or Keepsakes()
    with destination(opening, save, *keep.paths, force=force):
        whole = [*(["--save"] if save else []), *obstacles_of_criteria(criteria)]
        if is_streamed(opening, stream, whole):
            scorer, filters = _streamed(opening, criteria, seed=seed, progress=progress)
        else:
            scorer = open_scorer(opening, criteria, calibration=calibration, seed=seed, progress=progress)
            filters = None
        told = tell_calibration(scorer, progress)
        filters = scorer.score() if filters is None else filters
        output = save_scores(save, filters, scorer, force=force) if save and is_main() else None
        result = ScoreResult(
            opened=scorer.opened,
            graph=scorer.graph,
            criteria=scorer.criteria,
            scope=scope,
            layers=filters,
            groups=_groups(scorer.graph, filters, criteria, scope),
            data=data_origin(scorer),
            output=output,
            notes=(*scorer.notes, *told),
        )
        keep.write("score", result.document(), plot=score_distributions)
        return result


def _streamed(
    opening: Opening, criteria: Sequence[str], *, seed: int, progress: Progress
) -> tuple[Scorer, FilterScores | None]:
    """The scores of a network on the disk, with what knows its shapes."""
    with streamed_checkpoint(opening, progress=progress) as source:
        opened = source.opened
        graph = build_graph(opened.model, opened.architecture.input_shape)
        scores = source.survey(graph, graph.layers, criteria, seed=seed)
        source.hash()
        found = Scorer(
            opening=opening,
            opened=source.opened,
            graph=graph,
            criteria=tuple(criteria),
            calibration=Calibration(),
            seed=seed,
            progress=progress,
        )
        return found, scores


def layers_document(
    graph: ChannelGraph, scores: FilterScores, criteria: Sequence[str]
) -> list[dict[str, Any]]:
    """The scores of every layer's filters as JSON values."""
    return [
        {
            "name": layer.name,
            "type": layer.type,
            "filters": layer.channels,
            "scores": {name: _tensor_list(scores[layer.name][name]) for name in criteria},
        }
        for layer in graph.layers
    ]


def _groups(
    graph: ChannelGraph, filters: FilterScores, criteria: Sequence[str], scope: str
) -> dict[str, dict[str, NDArray[np.float64] | None]]:
    groups = {name: score_groups(graph.prunable, graph.layers, filters, name) for name in criteria}
    if scope == "local":
        return groups
    return {
        name: {g: None if v is None else normalise_scores(v, "mean") for g, v in found.items()}
        for name, found in groups.items()
    }


def _tensor_list(scores: Tensor | None) -> list[float] | None:
    return None if scores is None else [float(value) for value in scores.double().tolist()]


def _list(scores: NDArray[np.float64] | None) -> list[float] | None:
    return None if scores is None else [float(value) for value in scores.tolist()]
