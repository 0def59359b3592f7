"""Choose the channels that leave: the lowest scores of each group, or of all groups together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.bounds import Bounds, protected_by, ratio_of
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import ChannelGroup
from prunecli.scoring.normalization import normalise_scores
from prunecli.scoring.ranking import removal_order, removed_count

GroupScores = Mapping[str, NDArray[np.float64] | None]


@dataclass(frozen=True)
class Allocation:
    """The channels that leave each group, in increasing order, with what the bounds changed."""

    removed: Mapping[str, tuple[int, ...]]
    protected: Mapping[str, str]  # group → reason
    rules: Mapping[str, str]  # group → which bound changed what


def allocate(
    graph: ChannelGraph,
    scores: GroupScores,
    *,
    ratio: float | Fraction,
    bounds: Bounds | None = None,
    scope: str = "local",
    normalization: str = "mean",
    widths: Mapping[str, int] | None = None,
    first: Mapping[str, Sequence[int]] | None = None,
) -> Allocation:
    """The channels to remove at `ratio`, a fraction of each group (local) or of all channels (global).

    Ties go by index. Groups that the criterion cannot score are protected. `widths` are what groups had
    before earlier cuts, where there were any: the ratio is of those, and what has left counts. The channels
    `first` leave before all others, whatever their scores.
    """
    bounds = bounds or Bounds()
    gone = {g.name: max(0, (widths or {}).get(g.name, g.channels) - g.channels) for g in graph.prunable}
    protected = protected_by(graph, bounds)
    for group in graph.prunable:
        if scores.get(group.name) is None:
            protected.setdefault(group.name, "the criterion is not available for its layers")
    groups = [group for group in graph.prunable if group.name not in protected]
    known = {group.name: found for group in groups if (found := scores[group.name]) is not None}
    chosen = {group.name: _marked(group, (first or {}).get(group.name, ())) for group in groups}
    if scope == "global":
        own = {g.name: ratio_of(graph, g, bounds, -1.0) for g in groups}
        scaled = {name: normalise_scores(values, normalization) for name, values in known.items()}
        wanted = _global_counts(
            groups, scaled, chosen, ratio=ratio, own=own, gone=gone, min_channels=bounds.min_channels
        )
    else:
        wanted = {g.name: _count(g, ratio_of(graph, g, bounds, ratio), gone) for g in groups}
    removed: dict[str, tuple[int, ...]] = {}
    rules: dict[str, str] = {}
    for group in groups:
        count, rule = within_bounds(wanted[group.name], group.channels, bounds)
        if rule:
            rules[group.name] = rule
        lowest = _order(known[group.name], chosen[group.name])[:count]
        removed[group.name] = tuple(sorted(int(channel) for channel in lowest))
    return Allocation({name: channels for name, channels in removed.items() if channels}, protected, rules)


def within_bounds(wanted: int, channels: int, bounds: Bounds) -> tuple[int, str]:
    """How many of `channels` may leave when `wanted` should, and the bound that changed it."""
    kept = max(channels - wanted, min(channels, max(1, bounds.min_channels)))
    rule = f"at least {bounds.min_channels} channels stay" if kept != channels - wanted else ""
    rounded = min(channels, -(-kept // bounds.round_to) * bounds.round_to)
    if rounded != kept:
        rule = f"{kept} kept channels rounded up to {rounded}"
    return channels - rounded, rule


def _count(group: ChannelGroup, ratio: float | Fraction, gone: Mapping[str, int]) -> int:
    """How many more leave the group when a fraction of what it once had does."""
    before = gone[group.name]
    return max(0, removed_count(ratio, units=group.channels + before) - before)


def _marked(group: ChannelGroup, chosen: Sequence[int]) -> NDArray[np.bool_]:
    """(channels,) whether each is among the chosen ones."""
    marked = np.zeros(group.channels, dtype=bool)
    marked[list(chosen)] = True
    return marked


def _order(scores: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Channels from the first to leave to the last: those that are marked, then by score."""
    order = removal_order(scores)
    return np.concatenate([order[first[order]], order[~first[order]]])


def _global_counts(
    groups: list[ChannelGroup],
    scores: Mapping[str, NDArray[np.float64]],
    first: Mapping[str, NDArray[np.bool_]],
    *,
    ratio: float | Fraction,
    own: Mapping[str, float | Fraction],
    gone: Mapping[str, int],
    min_channels: int,
) -> dict[str, int]:
    """Counts per group when all channels rank in one list; groups with a ratio of their `own` keep it."""
    counts = {g.name: _count(g, own[g.name], gone) for g in groups if own[g.name] >= 0}
    ranked = [g for g in groups if g.name not in counts]
    if not ranked:
        return counts
    values = np.concatenate([scores[g.name] for g in ranked])
    owner = np.concatenate([np.full(g.channels, i) for i, g in enumerate(ranked)])
    limit = np.array([g.channels - min(g.channels, max(1, min_channels)) for g in ranked])
    before = sum(gone[g.name] for g in ranked)
    left = max(0, removed_count(ratio, units=values.size + before) - before)
    taken = np.zeros(len(ranked), dtype=np.int64)
    for unit in _order(values, np.concatenate([first[g.name] for g in ranked])):
        if not left:
            break
        if taken[owner[unit]] < limit[owner[unit]]:
            taken[owner[unit]] += 1
            left -= 1
    return counts | {g.name: int(taken[i]) for i, g in enumerate(ranked)}
