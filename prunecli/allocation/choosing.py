"""Choose the channels that leave: the lowest scores of each group, or of all groups together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.bounds import Bounds, protected_by, ratio_of
from prunecli.allocation.candidates import Candidate
from prunecli.allocation.counting import LOCAL, count_of, counts_at
from prunecli.allocation.goals import Goal, meet
from prunecli.allocation.scales import DEFAULT_SCALE, Curve, on_one_scale
from prunecli.graph.channel_graph import ChannelGraph

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
    ratio: float | Fraction = 0,
    goal: Goal | None = None,
    bounds: Bounds | None = None,
    scope: str = LOCAL,
    normalization: str | None = None,
    sensitivity: Mapping[str, Curve] | None = None,
    widths: Mapping[str, int] | None = None,
    first: Mapping[str, Sequence[int]] | None = None,
    left_out: Mapping[str, str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> Allocation:
    """The channels to remove at `ratio`, a fraction of each group (local) or of all, or for a `goal`.

    Ties go by index. Groups that the criterion cannot score are protected. `widths` are what groups had
    before earlier cuts, where there were any: the ratio is of those, and what has left counts. The channels
    `first` leave before all others, whatever their scores. A goal takes the place of the ratio, but not of
    layers' own. Groups `left_out` (name → reason) stay whole; `weights` are the
    groups' for the scope that goes by latency. Raises WrongUse for a scope or normalization
    that lacks what it needs.
    """
    bounds = bounds or Bounds()
    protected = {**protected_by(graph, bounds), **(left_out or {})}
    for group in graph.prunable:
        if scores.get(group.name) is None:
            protected.setdefault(group.name, "the criterion is not available for its layers")
    known = {
        group.name: found
        for group in graph.prunable
        if group.name not in protected and (found := scores[group.name]) is not None
    }
    how = normalization or DEFAULT_SCALE[scope]
    scaled = on_one_scale(graph, known, how, widths=widths, sensitivity=sensitivity)
    candidates = [
        Candidate(
            group=group,
            scores=scaled[group.name],
            first=(first or {}).get(group.name, ()),
            gone=max(0, (widths or {}).get(group.name, group.channels) - group.channels),
            bounds=bounds,
            weight=(weights or {}).get(group.name, 1.0),
        )
        for group in graph.prunable
        if group.name in known
    ]
    counts, rules = _counts(graph, candidates, ratio=ratio, goal=goal, scope=scope)
    removed = {each.name: each.lowest(counts[each.name]) for each in candidates if counts.get(each.name)}
    return Allocation(removed, protected, rules)


def _counts(
    graph: ChannelGraph,
    candidates: Sequence[Candidate],
    *,
    ratio: float | Fraction,
    goal: Goal | None,
    scope: str,
) -> tuple[dict[str, int], dict[str, str]]:
    """How many channels leave each group, and which bound changed what; layers' own ratios first."""
    own = {each.name: ratio_of(graph, each.group, each.bounds, -1.0) for each in candidates}
    wanted = {each.name: count_of(each, own[each.name]) for each in candidates if own[each.name] >= 0}
    others = [each for each in candidates if each.name not in wanted]
    if goal is None:
        wanted.update(counts_at(graph, others, ratio, scope))
    bounded = {
        each.name: within_bounds(wanted[each.name], each.channels, each.bounds)
        for each in candidates
        if each.name in wanted
    }
    counts = {name: count for name, (count, _) in bounded.items()}
    if goal is not None:
        fixed = {each.name: each.lowest(counts[each.name]) for each in candidates if each.name in counts}
        counts.update(meet(graph, others, goal, scope, fixed=fixed))
    return counts, {name: rule for name, (_, rule) in bounded.items() if rule}


def within_bounds(wanted: int, channels: int, bounds: Bounds) -> tuple[int, str]:
    """How many of `channels` may leave when `wanted` should, and the bound that changed it."""
    kept = max(channels - wanted, min(channels, max(1, bounds.min_channels)))
    rule = f"at least {bounds.min_channels} channels stay" if kept != channels - wanted else ""
    rounded = min(channels, -(-kept // bounds.round_to) * bounds.round_to)
    if rounded != kept:
        rule = f"{kept} kept channels rounded up to {rounded}"
    return channels - rounded, rule
