"""What a target, or an allowed drop in accuracy, comes to in one network: the aims of a pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation
from prunecli.allocation.goals import Goal
from prunecli.allocation.targets import FLOPS, MACS, SIZE, Target
from prunecli.errors import GateNotMet
from prunecli.progress import Progress, remark, silent
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import Planned, make_plan
from prunecli.workflows.aiming import Aim, take_aim
from prunecli.workflows.drop_search import Search, search
from prunecli.workflows.gauges import Gauged, gauge_of
from prunecli.workflows.prune_judging import Judge
from prunecli.workflows.ranking import Ranker


@dataclass(frozen=True, kw_only=True)
class Aims:
    """The aim of a pruning, with those to fall back on in their order where a search has found several.

    `missed` says that the target cannot be met, and what is nearest to it.
    """

    aim: Aim
    fallbacks: tuple[Aim, ...] = ()
    missed: GateNotMet | None = None
    search: Search | None = None

    @property
    def most_macs(self) -> float | None:
        """The MACs that may remain, where MACs are what is asked for."""
        per_mac = {MACS: 1, FLOPS: 2}.get(self.aim.target.kind)
        return None if per_mac is None else self.aim.limit / per_mac

    def next(self) -> Aims:
        """The same with the first of the fallbacks."""
        return Aims(aim=self.fallbacks[0], fallbacks=self.fallbacks[1:], search=self.search)

    def reached(
        self, plan: Plan, *, after: Mapping[str, Any], output: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any], GateNotMet | None]:
        """What has become of the target by a plan, and the gate where it is missed after all.

        `after` are the costs of the cut network, `output` its file.
        """
        kind = self.aim.target.kind
        if kind == SIZE and output is not None:
            cost = float(output["bytes"])
        else:
            cost = float(after[kind]) if kind in after else self.aim.cost_of(plan)
        document = self.aim.document(cost)
        if self.search is not None:
            return {**document, "tried": self.search.document()}, None
        return document, self.missed or self.aim.gate(cost)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aiming:
    """Takes aim at targets in one network, by one ranking of its channels."""

    gauged: Gauged
    ranker: Ranker
    bounds: Bounds
    progress: Progress = silent

    def at(self, target: Target) -> Aims:
        """What a target comes to."""
        aim = self._taking(target.kind)(target)
        return Aims(aim=aim, missed=aim.gate(aim.reached))

    def within(self, max_drop: float, *, judge: Judge) -> Aims:
        """The most that can go while the accuracy that `judge` reads falls by `max_drop` points at most."""
        whole = self.gauged.model

        def accuracy_of(planned: Planned) -> float:
            return judge.fresh_cut(carry_out(planned.plan, copy.deepcopy(whole)))

        found = search(
            max_drop,
            before=judge.accuracy(whole),
            aim_at=self._taking(MACS),
            accuracy_of=accuracy_of,
            progress=self.progress,
        )
        first, *others = found.allowed()
        return Aims(aim=first, fallbacks=tuple(others), search=found)

    def _taking(self, kind: str) -> Callable[[Target], Aim]:
        graph, scores = self.ranker.graph, self.ranker.scores(self.gauged.model)
        gauge = gauge_of(kind, self.gauged)

        def choose(goal: Goal, left_out: Mapping[str, str]) -> Allocation:
            return self.ranker.chosen(scores, goal=goal, bounds=self.bounds, left_out=left_out)

        def plan(removed: Mapping[str, tuple[int, ...]]) -> Planned:
            return make_plan(graph, removed)

        def tell(line: str) -> None:
            remark(self.progress, [line])

        return lambda target: take_aim(target, gauge, choose=choose, plan=plan, tell=tell)
