"""Blocks that are cut one after the other while nothing is trained: traced, ranked and planned once.

Between two trainings no weight moves, so what leaves the coming blocks is known beforehand. On a network of
100 layers that saves seconds for every block.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prunecli.strategies.bites import Block
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.procedures.foresight import coming_changes, cut_on, planned_once
from prunecli.surgery.plan import Plan

if TYPE_CHECKING:
    from torch import nn


class Stretch:
    """The coming `blocks` of the network of `task`, to be cut one by one.

    `seconds` are those of ranking and planning. Raises what `make_plan` raises.
    """

    def __init__(self, task: PruningTask, blocks: Sequence[Block]) -> None:
        self.task = task
        start = time.perf_counter()
        self.allocation = task.choose(task.model, 1.0)
        middle = time.perf_counter()
        self.whole = planned_once(task.graph, self._of(*blocks))
        self.seconds = {"score": middle - start, "plan": time.perf_counter() - middle}
        self._cut: list[Block] = []
        self._done = Plan()
        self._network: nn.Module | None = None

    def cut(self, block: Block) -> PruningOutcome:
        """The network without what leaves the blocks up to this one, and the plan of all of them.

        It is the same network each time, cut further in place.
        """
        from prunecli.surgery.planning import plan_part

        self._cut.append(block)
        start = time.perf_counter()
        removed = self._of(*self._cut)
        planned = plan_part(self.task.graph, self.whole, removed)
        middle = time.perf_counter()
        if self._network is None:
            self._network = copy.deepcopy(self.task.model)
        cut_on(self._network, self._done, planned.plan)
        self._done = planned.plan
        return PruningOutcome(
            reference=self.task.model,
            cut=self._network,
            allocation=replace(self.allocation, removed=removed),
            planned=planned,
            seconds={"plan": middle - start, "surgery": time.perf_counter() - middle},
        )

    @property
    def coming(self) -> frozenset[str] | None:
        """The tensors that the blocks still to be cut change, as far as that is known."""
        return coming_changes(self._done, self.whole.plan)

    def _of(self, *blocks: Block) -> dict[str, tuple[int, ...]]:
        groups = {name for block in blocks for name in block.groups}
        return {name: gone for name, gone in self.allocation.removed.items() if name in groups}
