"""What each criterion of a pool proposes to remove next: of every group as many channels as make one step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunecli.allocation.bounds import Bounds, ratio_of, within_bounds
from prunecli.allocation.choosing import GroupScores
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.costs_left import macs_left
from prunecli.graph.groups import ChannelGroup
from prunecli.scoring.ranking import removal_order, removed_count

Removed = Mapping[str, tuple[int, ...]]
"""Group name → channels."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Channels of one group, and the criteria of the pool that rank exactly these lowest."""

    group: str
    channels: tuple[int, ...]
    criteria: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a group may shrink: `widths` are the first ones, of which `ratio` may leave in all.

    A layer with a ratio of its own in the `bounds` may lose that.
    """

    widths: Mapping[str, int]
    ratio: float
    bounds: Bounds

    def most(self, graph: ChannelGraph, group: ChannelGroup) -> int:
        """How many channels may leave the group as it is in `graph`."""
        width = self.widths.get(group.name, group.channels)
        own = ratio_of(graph, group, self.bounds, self.ratio)
        wanted = removed_count(own, units=width) - (width - group.channels)
        return max(0, within_bounds(max(0, wanted), group.channels, self.bounds)[0])

    def at_least(self, count: int, *, most: int, group: ChannelGroup) -> int:
        """The least number from `count` on that leaves a width as the bounds have it, `most` at most."""
        kept = (group.channels - count) // self.bounds.round_to * self.bounds.round_to
        return min(most, group.channels - kept)


class Proposer:
    """Proposals for the network of `graph`, whose `scores` are by criterion and group.

    A step is worth about `step` MACs, and one that would go beyond `goal` takes fewer channels: as few as it
    needs to get there.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        scores: Mapping[str, GroupScores],
        *,
        groups: Sequence[ChannelGroup],
        limits: Limits,
        step: float,
        goal: int,
    ) -> None:
        self._graph = graph
        self._limits = limits
        self._groups = groups
        self._step, self._goal = step, goal
        self._orders = {
            (group.name, criterion): [int(channel) for channel in removal_order(found)]
            for criterion, by_group in scores.items()
            for group in groups
            if (found := by_group.get(group.name)) is not None
        }
        self._criteria = tuple(scores)

    def proposals(self, gone: Removed) -> list[Proposal]:
        """By group and criterion, when the channels `gone` have left; those that agree are one."""
        now = macs_left(self._graph, gone)
        found: list[Proposal] = []
        for group in self._groups:
            alike: dict[tuple[int, ...], list[str]] = {}
            for criterion in self._criteria:
                channels = self._lowest(group, criterion, gone, now)
                if channels:
                    alike.setdefault(channels, []).append(criterion)
            found += [
                Proposal(group=group.name, channels=channels, criteria=tuple(names))
                for channels, names in alike.items()
            ]
        return found

    def _lowest(self, group: ChannelGroup, criterion: str, gone: Removed, now: int) -> tuple[int, ...]:
        """The channels of one step, in increasing order; none where nothing more may leave or is saved."""
        silent = set(gone.get(group.name, ()))
        order = [c for c in self._orders.get((group.name, criterion), ()) if c not in silent]
        most = self._limits.most(self._graph, group)

        def more(count: int) -> int:
            """Of the next `count` channels at least, as many as leave a width that may be."""
            return self._limits.at_least(len(silent) + count, most=most, group=group) - len(silent)

        def left(count: int) -> int:
            return macs_left(self._graph, {**gone, group.name: (*silent, *order[: more(count)])})

        if len(silent) >= most or not order or left(1) >= now:
            return ()
        each = (now - left(1)) / more(1)
        count = min(max(1, round(self._step / each)), most - len(silent))
        if left(count) <= self._goal:
            counts = range(1, count + 1)
            count = counts[bisect_left(counts, -self._goal, key=lambda n: -left(n))]
        return tuple(sorted(order[: more(count)]))
