"""A cost that may remain, and the way there: channels leave step by step until the cost is met.

A *path* is the order in which channels would leave the whole network, in steps that the bounds allow. The
shortest way along it that meets the goal is found by bisection; what the last step took too much is given
back, the latest step first, as far as the goal stays met.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """At most `limit` of the cost may remain; `before` there was. `left` gives the cost without channels."""

    before: float
    limit: float
    left: Left = field(repr=False)

    def at(self, share: float) -> Goal:
        """The goal when a share (0 to 1) of the way has been gone."""
        return replace(self, limit=self.before - float(share) * (self.before - self.limit))

    def is_met(self, cost: float) -> bool:
        """Whether a cost is below the limit and near it."""
        return self.limit * (1 - TOLERANCE) <= cost <= self.limit


@dataclass(frozen=True, kw_only=True)
class Step:
    """One group goes from one level to the next."""

    candidate: Candidate
    level: int  # the one it reaches, from 1


def path(graph: ChannelGraph, candidates: Sequence[Candidate], scope: str) -> list[Step]:
    """All steps in the order of the scope; the steps of one group in their own order."""
    keys = _KEYS[scope](graph, candidates)
    found = [
        (key, tie, place, level)
        for place, (each, own) in enumerate(zip(candidates, keys, strict=True))
        for level, (key, tie) in enumerate(zip(own, _rising(each), strict=True), 1)
    ]
    return [Step(candidate=candidates[place], level=level) for _, _, place, level in sorted(found)]


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
            levels = step.candidate.levels
            taken += int(levels[step.level] - levels[step.level - 1])
            shares[step.candidate.name][step.level - 1] = taken / whole
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
    way = Way(graph, goal, path(graph, candidates, scope), fixed)
    if scope == EXACT:
        from prunecli.allocation.exact import least_loss

        return way.counts(least_loss(way))
    return way.counts(way.shortest())


Taken: TypeAlias = frozenset[Step]
"""Steps that are taken; with one of a group all before it."""


class Way:
    """A path with the cost along it."""

    def __init__(
        self, graph: ChannelGraph, goal: Goal, steps: Sequence[Step], fixed: Mapping[str, Sequence[int]]
    ) -> None:
        self.graph, self.goal, self.steps, self.fixed = graph, goal, steps, fixed
        self._costs: dict[Taken, float] = {}

    def along(self, steps: Sequence[Step]) -> Way:
        """The same along other steps."""
        return Way(self.graph, self.goal, steps, self.fixed)

    def cost(self, taken: Iterable[Step]) -> float:
        """What is left after these steps."""
        key = frozenset(taken)
        if key not in self._costs:
            self._costs[key] = self.goal.left(self.graph, self.removed(key))
        return self._costs[key]

    def removed(self, taken: Iterable[Step]) -> dict[str, Sequence[int]]:
        """The channels that are gone after these steps, the fixed ones among them."""
        found: dict[str, Sequence[int]] = dict(self.fixed)
        for each, level in self._levels(taken).items():
            found[each.name] = each.order[: each.levels[level]].tolist()
        return found

    def counts(self, taken: Iterable[Step]) -> Counts:
        """How many channels of each group are gone after these steps."""
        return {each.name: int(each.levels[level]) for each, level in self._levels(taken).items()}

    @staticmethod
    def _levels(taken: Iterable[Step]) -> dict[Candidate, int]:
        found: dict[Candidate, int] = {}
        for step in taken:
            found[step.candidate] = max(step.level, found.get(step.candidate, 0))
        return found

    def shortest(self) -> Taken:
        """The steps that meet the goal, as early ones as possible."""
        count = bisect_left(
            range(len(self.steps)), True, key=lambda n: self.cost(self.steps[:n]) <= self.goal.limit
        )
        taken = frozenset(self.steps[:count])
        if self.cost(taken) > self.goal.limit:
            return taken
        best = self._given_back(taken)
        weighed = len(self._costs)
        for step in self.steps[count:]:
            if self.goal.is_met(self.cost(best)) or len(self._costs) - weighed > MOST_ATTEMPTS:
                break
            # One step further in place of some that were nearer: a small one may fill what a large one left.
            if self._is_next(step, taken):
                best = max(best, self._given_back(taken | {step}, keep=step), key=self.cost)
        return best

    def _given_back(self, taken: Taken, *, keep: Step | None = None) -> Taken:
        """As near below the goal as it comes by taking steps back, the latest first."""
        for step in reversed(self.steps):
            if self.goal.is_met(self.cost(taken)):
                break
            if step in taken and step != keep and not self._has_later(step, taken):
                without = taken - {step}
                if self.cost(without) <= self.goal.limit:
                    taken = without
        return taken

    @staticmethod
    def _is_next(step: Step, taken: Taken) -> bool:
        return step.level == 1 or replace(step, level=step.level - 1) in taken

    @staticmethod
    def _has_later(step: Step, taken: Taken) -> bool:
        return replace(step, level=step.level + 1) in taken
