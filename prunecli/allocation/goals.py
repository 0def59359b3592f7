"""A cost that may remain, and the way there: channels leave step by step until the cost is met.

A *path* is the order in which channels would leave the whole network, in steps that the bounds allow. The
shortest way along it that meets the goal is found by bisection; what the last step took too much is given
back, the latest step first, as far as the goal stays met.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.candidates import Candidate, Counts, alike
from prunecli.allocation.counting import BY_LATENCY, EXACT, GLOBAL, ISOMORPHIC, LOCAL
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.latency.savings import MOST

TOLERANCE = 0.01
"""A goal is met by what lies below it by this share of it at most."""
_LEAST_WEIGHT = 1e-3
MOST_ATTEMPTS = 400
"""Ways that are weighed to come nearer to a goal, at about a millisecond each."""

Left: TypeAlias = Callable[[ChannelGraph, Mapping[str, Sequence[int]]], float]
"""What a network still costs when channels (by group name) are removed."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """At most `limit` of the cost may remain; `before` there was. `left` gives the cost without channels.

    `shifts` are groups that in the end go so many levels further than the way leads, or stay so many back.
    """

    before: float
    limit: float
    left: Left = field(repr=False)
    shifts: Mapping[str, int] = field(default_factory=dict)

    def at(self, share: float) -> Goal:
        """The goal when a share (0 to 1) of the way has been gone."""
        limit = self.before - float(share) * (self.before - self.limit)
        return replace(self, limit=limit, shifts=self.shifts if share == 1 else {})

    def is_met(self, cost: float) -> bool:
        """Whether a cost is below the limit and near it."""
        return is_near(cost, self.limit)


def is_near(cost: float, limit: float) -> bool:
    """Whether a cost is below a limit and within the tolerance."""
    return limit * (1 - TOLERANCE) <= cost <= limit


@dataclass(frozen=True, kw_only=True)
class Step:
    """One group goes from one level to the next."""

    place: int  # of the candidate among all
    level: int  # the one it reaches, from 1


def path(graph: ChannelGraph, candidates: Sequence[Candidate], scope: str) -> list[Step]:
    """All steps in the order of the scope; the steps of one group in their own order."""
    keys = _KEYS[scope](graph, candidates)
    found = [
        (key, tie, place, level)
        for place, (each, own) in enumerate(zip(candidates, keys, strict=True))
        for level, (key, tie) in enumerate(zip(own, _rising(each), strict=True), 1)
    ]
    return [Step(place=place, level=level) for _, _, place, level in sorted(found)]


def _rising(candidate: Candidate) -> NDArray[np.float64]:
    """(levels − 1,) what each step takes, none less than the one before; −∞ for channels that go first."""
    values = np.where(candidate.marked, -np.inf, candidate.scores)
    return np.maximum.accumulate(candidate.step_means(values))


def _shares(candidate: Candidate) -> NDArray[np.float64]:
    return (candidate.gone + candidate.levels[1:]) / candidate.before


def _class_shares(graph: ChannelGraph, candidates: Sequence[Candidate]) -> list[NDArray[np.float64]]:
    """Which share of its class each step completes when the class is ranked as one list."""
    found: dict[str, NDArray[np.float64]] = {}
    for members in alike(graph, candidates):
        whole = sum(each.before for each in members)
        taken = sum(each.gone for each in members)
        shares = {each.name: np.zeros(len(each.levels) - 1) for each in members}
        for step in path(graph, members, GLOBAL):
            each = members[step.place]
            taken += int(each.levels[step.level] - each.levels[step.level - 1])
            shares[each.name][step.level - 1] = taken / whole
        found.update(shares)
    return [found[each.name] for each in candidates]


def _weighted_shares(candidate: Candidate) -> NDArray[np.float64]:
    """As the shares, but a heavier group is further on; beyond the most that a weight may ask for, last."""
    shares = _shares(candidate)
    return np.where(shares <= MOST, shares / max(candidate.weight, _LEAST_WEIGHT), 1 / _LEAST_WEIGHT + shares)


_KEYS: dict[str, Callable[[ChannelGraph, Sequence[Candidate]], list[NDArray[np.float64]]]] = {
    LOCAL: lambda _, candidates: [_shares(each) for each in candidates],
    GLOBAL: lambda _, candidates: [_rising(each) for each in candidates],
    ISOMORPHIC: _class_shares,
    BY_LATENCY: lambda _, candidates: [_weighted_shares(each) for each in candidates],
    EXACT: lambda _, candidates: [_rising(each) for each in candidates],
}


def meet(
    graph: ChannelGraph,
    candidates: Sequence[Candidate],
    goal: Goal,
    scope: str,
    *,
    fixed: Mapping[str, Sequence[int]],
) -> Counts:
    """How many channels leave each group so that the goal is met, or come as near as can be had below it.

    `fixed` are channels of other groups, which leave anyway. Where the whole path is too little: all of it.
    """
    way = Way(graph, goal, candidates, path(graph, candidates, scope), fixed)
    if scope == EXACT:
        from prunecli.allocation.exact import least_loss

        return way.counts(way.shifted(least_loss(way)))
    return way.counts(way.shifted(way.shortest()))


Taken: TypeAlias = tuple[int, ...]
"""The level that each candidate has reached."""


class Way:
    """A path with the cost along it."""

    def __init__(
        self,
        graph: ChannelGraph,
        goal: Goal,
        candidates: Sequence[Candidate],
        steps: Sequence[Step],
        fixed: Mapping[str, Sequence[int]],
    ) -> None:
        self.graph, self.goal, self.candidates, self.fixed = graph, goal, candidates, fixed
        self.steps = steps
        self._costs: dict[Taken, float] = {}

    def along(self, steps: Sequence[Step]) -> Way:
        """The same along other steps."""
        return Way(self.graph, self.goal, self.candidates, steps, self.fixed)

    def after(self, steps: Iterable[Step]) -> Taken:
        """How far these steps lead."""
        levels = [0] * len(self.candidates)
        for step in steps:
            levels[step.place] = max(step.level, levels[step.place])
        return tuple(levels)

    def cost(self, taken: Taken) -> float:
        """What is left there."""
        if taken not in self._costs:
            self._costs[taken] = self.goal.left(self.graph, self.removed(taken))
        return self._costs[taken]

    def removed(self, taken: Taken) -> dict[str, Sequence[int]]:
        """The channels that are gone there, the fixed ones among them."""
        found: dict[str, Sequence[int]] = dict(self.fixed)
        for each, level in zip(self.candidates, taken, strict=True):
            found.update(each.leaving(int(each.levels[level])))
        return found

    def counts(self, taken: Taken) -> Counts:
        """How many channels of each group are gone there."""
        pairs = zip(self.candidates, taken, strict=True)
        return {each.name: int(each.levels[level]) for each, level in pairs}

    def shifted(self, taken: Taken) -> Taken:
        """The same with the shifts of the goal, as far as there are levels."""
        shifts = self.goal.shifts
        pairs = zip(self.candidates, taken, strict=True)
        return tuple(
            min(max(0, level + shifts.get(each.name, 0)), len(each.levels) - 1) for each, level in pairs
        )

    def shortest(self) -> Taken:
        """The steps that meet the goal, as early ones as possible."""
        taken = self._first(self.steps)
        if not self._kept(taken):
            return taken
        best, others = self._given_back(taken), self._others(taken)
        most = len(self._costs) + MOST_ATTEMPTS
        while not self.goal.is_met(self.cost(best)) and len(self._costs) < most:
            other = next(others, None)
            if other is None:
                break
            best = max(best, other, key=self.cost)
        return best

    def _kept(self, taken: Taken) -> bool:
        return self.cost(taken) <= self.goal.limit

    def _first(self, steps: Sequence[Step]) -> Taken:
        """As few of the steps as keep the limit, or all."""
        count = bisect_left(range(len(steps)), True, key=lambda n: self._kept(self.after(steps[:n])))
        return self.after(steps[:count])

    def _others(self, taken: Taken) -> Iterator[Taken]:
        """Other steps that keep the limit too, where these leave too little."""
        # A large step left out, in place of which many small ones are taken.
        for place in self._large_steps(taken):
            steps = [each for each in self.steps if each.place != place or each.level < taken[place]]
            found = self._first(steps)
            if self._kept(found):
                yield self._given_back(found)
        # One step further in place of some that were nearer: a small one may fill what a large one left.
        for place, level in ((each.place, each.level) for each in self.steps):
            if level == taken[place] + 1:
                yield self._given_back(_with(taken, place, level), keep=place)

    def _large_steps(self, taken: Taken) -> list[int]:
        """The candidates whose last step is more than a goal's tolerance, the largest first."""
        saved = {
            place: self.cost(_with(taken, place, level - 1)) - self.cost(taken)
            for place, level in enumerate(taken)
            if level
        }
        large = [place for place, each in saved.items() if each > TOLERANCE * self.goal.limit]
        return sorted(large, key=lambda place: -saved[place])

    def _given_back(self, taken: Taken, *, keep: int | None = None) -> Taken:
        """As near below the goal as it comes by taking steps back, the latest first; `keep` stays as it is.

        Of a candidate whose latest step is needed no earlier one can be taken back.
        """
        order = [
            each for each in reversed(self.steps) if each.level <= taken[each.place] and each.place != keep
        ]
        while order:
            # The first count that goes too far: one less can be taken back at once.
            counts = range(1, len(order) + 1)
            fitting = bisect_left(counts, True, key=lambda n: not self._kept(_without(taken, order[:n])))
            taken = _without(taken, order[:fitting])
            needed = {each.place for each in order[fitting : fitting + 1]}
            order = [each for each in order[fitting + 1 :] if each.place not in needed]
        return taken


def _without(taken: Taken, steps: Iterable[Step]) -> Taken:
    """Before these steps, the latest of each candidate first."""
    levels = list(taken)
    for step in steps:
        levels[step.place] = step.level - 1
    return tuple(levels)


def _with(taken: Taken, place: int, level: int) -> Taken:
    """The same with one candidate at another level."""
    return (*taken[:place], level, *taken[place + 1 :])
