"""Groups' scores onto one scale, so that a ranking over all groups compares what can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.counting import EXACT, SCOPES
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.costs_left import macs_left
from prunecli.scoring.normalization import ALL_NORMALIZATIONS, PER_MAC, normalise_scores
from prunecli.scoring.ranking import removal_order

Scores = Mapping[str, NDArray[np.float64]]
"""Group name → (channels,) importance scores."""

SENSITIVITY = "sensitivity"
SCALES = (*ALL_NORMALIZATIONS, SENSITIVITY)
DEFAULT_SCALE = {**dict.fromkeys(SCOPES, "mean"), EXACT: "none"}
"""For each scope; a knapsack adds scores up, so it takes them as they are."""


@dataclass(frozen=True)
class Curve:
    """What a group costs when it alone is pruned: `rises` in loss at rising `ratios`."""

    ratios: tuple[float, ...]
    rises: tuple[float, ...]

    def at(self, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rise at `ratios`, between the measured ones in straight lines, never falling.

        Beyond the last measured one it goes on as steeply as from nothing to there.
        """
        known = np.concatenate([[0.0], self.ratios])
        rises = np.maximum.accumulate(np.concatenate([[0.0], self.rises]))
        beyond = np.maximum(ratios - known[-1], 0) * rises[-1] / known[-1]
        return np.asarray(np.interp(ratios, known, rises) + beyond)

    def added(self, *, channels: int, gone: int = 0) -> NDArray[np.float64]:
        """(channels,) what each further channel adds to the loss, none less than the one before.

        On the lower convex hull of the rise: what a measurement shows too much early on is spread over what
        follows. `gone` have left before.
        """
        counts = np.arange(channels + 1)
        rises = self.at((gone + counts) / (gone + channels))
        corners = [0]
        for place in counts[1:]:
            while len(corners) > 1 and _bends_down(corners[-2], corners[-1], place, rises):
                corners.pop()
            corners.append(int(place))
        return np.diff(np.interp(counts, corners, rises[corners]))


def _bends_down(first: int, middle: int, last: int, rises: NDArray[np.float64]) -> bool:
    """Whether the middle corner lies on or above the line between the others."""
    before = (rises[middle] - rises[first]) * (last - middle)
    after = (rises[last] - rises[middle]) * (middle - first)
    return bool(before >= after)


def on_one_scale(
    graph: ChannelGraph,
    scores: Scores,
    how: str,
    *,
    widths: Mapping[str, int] | None = None,
    sensitivity: Mapping[str, Curve] | None = None,
) -> Scores:
    """The scores of every group on the scale `how`; the order inside groups stays.

    `per-MAC` divides by the MACs that one channel of the group saves; what saves none never leaves.
    `sensitivity` is what a channel adds to the loss when the group alone is pruned so far, for each MAC that
    it saves; `widths` are what groups had at first. Raises WrongUse without the curve of a group.
    """
    if how not in (SENSITIVITY, PER_MAC):
        return {name: normalise_scores(own, how) for name, own in scores.items()}
    if how == SENSITIVITY:
        scores = {name: _by_curve(name, own, widths or {}, sensitivity or {}) for name, own in scores.items()}
    whole = macs_left(graph, {})
    saved = {name: whole - macs_left(graph, {name: (0,)}) for name in scores}
    return {
        name: normalise_scores(own, PER_MAC, cost=saved[name]) if saved[name] else np.full(own.size, np.inf)
        for name, own in scores.items()
    }


def _by_curve(
    name: str, scores: NDArray[np.float64], widths: Mapping[str, int], curves: Mapping[str, Curve]
) -> NDArray[np.float64]:
    """(channels,) what each channel adds to the loss when those before it have left."""
    if name not in curves:
        raise WrongUse(
            f"the sensitivity of {name} is not known", hints=["measure it: prunecli sensitivity --save FILE"]
        )
    gone = widths.get(name, scores.size) - scores.size
    values = np.empty(scores.size)
    values[removal_order(scores)] = curves[name].added(channels=scores.size, gone=gone)
    return values
