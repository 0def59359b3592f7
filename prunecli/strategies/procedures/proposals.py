"""What each criterion of a pool proposes to remove next: of every group as many channels as make one step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from prunecli.allocation.bounds import Bounds, ratio_of
from prunecli.allocation.candidates import Candidate
from prunecli.allocation.choosing import GroupScores, candidates_of
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.costs_left import macs_left
from prunecli.graph.groups import ChannelGroup
from prunecli.scoring.ranking import removed_count

Removed = Mapping[str, tuple[int, ...]]
"""Group name → channels."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Channels of one group, and the criteria of the pool that rank exactly these lowest.

    `removed` has them with those of the groups that must shrink with it.
    """

    group: str
    removed: Removed
    criteria: tuple[str, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """The group's own."""
        return self.removed[self.group]

    def linked(self) -> dict[str, int]:
        """How many channels of other groups leave with them."""
        return {name: len(gone) for name, gone in self.removed.items() if name != self.group}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a group may shrink: `widths` are the first ones, of which `ratio` may leave in all.

    A layer with a ratio of its own in the `bounds` may lose that.
    """

    widths: Mapping[str, int]
    ratio: float
    bounds: Bounds

    def candidates(
        self, graph: ChannelGraph, scores: GroupScores | None = None, *, left_out: Mapping[str, str]
    ) -> list[Candidate]:
        """The groups that may lose channels, with those that must shrink with them.

        Without scores channels leave as they come.
        """
        scores = scores or {group.name: np.arange(group.channels, dtype=float) for group in graph.prunable}
        return candidates_of(graph, scores, self.bounds, left_out=left_out)[0]

    def levels(self, graph: ChannelGraph, candidate: Candidate) -> list[int]:
        """How many channels may be gone, rising, from none on: so many leave a width that may be."""
        most = self._most(graph, candidate.group)
        for other, each in candidate.followers:
            most = min(most, self._most(graph, other.group) // each * candidate.unit)
        return [level for level in candidate.levels.tolist() if level <= most]

    def halves(self, graph: ChannelGraph, *, left_out: Mapping[str, str]) -> dict[str, Removed]:
        """Group that may lose channels → about half of them, with what must leave with these."""
        return {
            each.name: each.leaving((each.channels // each.unit + 1) // 2 * each.unit)
            for each in self.candidates(graph, left_out=left_out)
            if len(self.levels(graph, each)) > 1
        }

    def _most(self, graph: ChannelGraph, group: ChannelGroup) -> int:
        """How many channels may leave the group as it is in `graph`, if any width may be."""
        width = self.widths.get(group.name, group.channels)
        own = ratio_of(graph, group, self.bounds, self.ratio)
        return max(0, removed_count(own, units=width) - (width - group.channels))


class Proposer:
    """Proposals for the network of `graph`, whose `scores` are by criterion and group.

    A step is worth about `step` MACs, and one that would go beyond `goal` takes fewer channels: as few as it
    needs to get there. Groups `left_out` (name → reason) stay whole.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        scores: Mapping[str, GroupScores],
        *,
        left_out: Mapping[str, str],
        limits: Limits,
        step: float,
        goal: int,
    ) -> None:
        self._graph = graph
        self._limits = limits
        self._step, self._goal = step, goal
        self._candidates: dict[str, dict[str, Candidate]] = {group.name: {} for group in graph.prunable}
        for criterion, by_group in scores.items():
            for each in limits.candidates(graph, by_group, left_out=left_out):
                self._candidates[each.name][criterion] = each

    def proposals(self, gone: Removed) -> list[Proposal]:
        """By group and criterion, when the channels `gone` have left; those that agree are one."""
        now = macs_left(self._graph, gone)
        found: list[Proposal] = []
        for group, by_criterion in self._candidates.items():
            alike: dict[tuple[tuple[str, tuple[int, ...]], ...], list[str]] = {}
            for criterion, candidate in by_criterion.items():
                removed = self._lowest(candidate, gone, now)
                if removed:
                    alike.setdefault(tuple(removed.items()), []).append(criterion)
            found += [
                Proposal(group=group, removed=dict(removed), criteria=tuple(names))
                for removed, names in alike.items()
            ]
        return found

    def _lowest(self, candidate: Candidate, gone: Removed, now: int) -> dict[str, tuple[int, ...]]:
        """The channels of one step, in increasing order; none where nothing more may leave or is saved."""
        candidate = replace(
            candidate,
            first=gone.get(candidate.name, ()),
            followers=tuple(
                (replace(other, first=gone.get(other.name, ())), each) for other, each in candidate.followers
            ),
        )
        silent = len(candidate.first)
        levels = [level for level in self._limits.levels(self._graph, candidate) if level > silent]

        def left(level: int) -> int:
            return macs_left(self._graph, {**gone, **candidate.leaving(level)})

        if not levels or left(levels[0]) >= now:
            return {}
        each = (now - left(levels[0])) / (levels[0] - silent)
        place = min(bisect_left(levels, silent + max(1, round(self._step / each))), len(levels) - 1)
        if left(levels[place]) <= self._goal:
            place = bisect_left(levels, -self._goal, key=lambda level: -left(level))
        return {
            name: tuple(channel for channel in channels if channel not in set(gone.get(name, ())))
            for name, channels in candidate.leaving(levels[place]).items()
        }
