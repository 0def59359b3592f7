"""Choose the channels that leave: the lowest scores of each group, or of all groups together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.bounds import Bounds, protected_by, ratio_of
from prunecli.allocation.candidates import Candidate
from prunecli.allocation.counting import LOCAL, count_of, counts_at
from prunecli.allocation.goals import Goal, meet
from prunecli.allocation.scales import DEFAULT_SCALE, Curve, on_one_scale
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.surgery.linking import links_of

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
    found, protected = candidates_of(graph, scores, bounds, left_out=left_out)
    how = normalization or DEFAULT_SCALE[scope]
    scaled = on_one_scale(
        graph, {each.name: each.scores for each in found}, how, widths=widths, sensitivity=sensitivity
    )
    first, widths, weights = first or {}, widths or {}, weights or {}
    candidates = [
        replace(
            each,
            scores=scaled[each.name],
            first=first.get(each.name, ()),
            gone=max(0, widths.get(each.name, each.channels) - each.channels),
            weight=weights.get(each.name, 1.0),
            followers=tuple(
                (replace(other, first=first.get(other.name, ())), n) for other, n in each.followers
            ),
        )
        for each in found
    ]
    counts, rules = _counts(graph, candidates, ratio=ratio, goal=goal, scope=scope)
    removed = _leaving(candidates, counts)
    return Allocation(removed, protected, {**rules, **_followed(candidates, removed)})


def candidates_of(
    graph: ChannelGraph,
    scores: GroupScores,
    bounds: Bounds,
    *,
    left_out: Mapping[str, str] | None = None,
) -> tuple[list[Candidate], dict[str, str]]:
    """The groups that may lose channels, those that follow others with these, and why others stay."""
    protected = {**protected_by(graph, bounds), **(left_out or {})}
    for group in graph.prunable:
        if scores.get(group.name) is None:
            protected.setdefault(group.name, "the criterion is not available for its layers")
    protected.update(_held(graph, protected))
    single = {
        group.name: Candidate(group=group, scores=own, bounds=bounds)
        for group in graph.prunable
        if group.name not in protected and (own := scores[group.name]) is not None
    }
    return _joined(graph, single), protected


def _held(graph: ChannelGraph, protected: Mapping[str, str]) -> dict[str, str]:
    """The groups that cannot leave since one stays whole that they are linked with, with the reason."""
    found = {}
    for link in links_of(graph):
        names = (link.group, *link.followers)
        whole = next((name for name in names if name in protected), None)
        if whole is not None:
            found.update(dict.fromkeys(names, f"must fit {whole}, which stays whole"))
    return {name: reason for name, reason in found.items() if name not in protected}


def _joined(graph: ChannelGraph, candidates: Mapping[str, Candidate]) -> list[Candidate]:
    """The candidates, those that follow others with these."""
    found = dict(candidates)
    for link in links_of(graph):
        if link.group in found:
            followers = tuple((found.pop(name), each) for name, each in link.followers.items())
            found[link.group] = replace(found[link.group], unit=link.unit, followers=followers)
    return list(found.values())


def _leaving(candidates: Sequence[Candidate], counts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Group name → the channels that leave when so many of each candidate's do; those of followers too."""
    return {
        name: channels
        for each in candidates
        for name, channels in each.leaving(counts.get(each.name, 0)).items()
    }


def _followed(candidates: Sequence[Candidate], removed: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """What is to say of groups that lose channels because another one does."""
    return {
        other.name: f"loses {each} for each {leader.unit} channels of {leader.name}"
        for leader in candidates
        for other, each in leader.followers
        if other.name in removed
    }


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
    bounded = {each.name: each.bounded(wanted[each.name]) for each in candidates if each.name in wanted}
    counts = {name: count for name, (count, _) in bounded.items()}
    if goal is not None:
        counts.update(meet(graph, others, goal, scope, fixed=_leaving(candidates, counts)))
    return counts, {name: rule for name, (_, rule) in bounded.items() if rule}
