"""Compare what criteria say of the same filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.analysis.comparison import Comparison, compare_scores
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import score_filters
from prunecli.workflows.opening import Opened, Opening, open_checkpoint


@dataclass(frozen=True, eq=False)
class CompareResult:
    """Agreement of criteria on one checkpoint."""

    opened: Opened
    comparison: Comparison

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way."""
        return self.opened.notes

    def document(self) -> dict[str, Any]:
        """The JSON of `compare`."""
        return {
            "checkpoint": self.opened.summary(),
            **self.comparison.document(),
            "remarks": list(self.comparison.remarks()),
        }


def compare(
    opening: Opening, *, criteria: Sequence[str], ratios: Sequence[float], seed: int = 0, top: int = 8
) -> CompareResult:
    """Compare `criteria` on a checkpoint's filters at `ratios` (fractions removed).

    `top` is how many of the first pruned filters are listed. Raises WrongUse for an unknown criterion.
    """
    opened = open_checkpoint(opening)
    graph = build_graph(opened.model, opened.architecture.input_shape)
    scores = score_filters(opened.model, graph, criteria, seed=seed)
    return CompareResult(opened, compare_scores(scores, criteria=criteria, ratios=ratios, top=top))
