"""The removal that ends every strategy: plan, trial, cut."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prunecli.strategies.contract import PruningOutcome, PruningTask

if TYPE_CHECKING:
    from torch import nn

    from prunecli.allocation.choosing import Allocation
    from prunecli.training.settings import EpochRecord


def remove_channels(
    task: PruningTask,
    reference: nn.Module,
    allocation: Allocation,
    *,
    history: tuple[EpochRecord, ...] = (),
    seconds: dict[str, float] | None = None,
) -> PruningOutcome:
    """Cut a copy of `reference` as `allocation` says; `planned` names the groups that no plan can follow."""
    import copy

    from prunecli.surgery.cutting import carry_out
    from prunecli.surgery.planning import make_plan

    start = time.perf_counter()
    planned = make_plan(task.graph, allocation.removed)
    middle = time.perf_counter()
    cut = carry_out(planned.plan, copy.deepcopy(reference))
    spent = {"plan": middle - start, "surgery": time.perf_counter() - middle, **(seconds or {})}
    return PruningOutcome(
        reference=reference, cut=cut, allocation=allocation, planned=planned, history=history, seconds=spent
    )
