"""One shot: rank once, remove once."""

from __future__ import annotations

import time

from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.removal import remove_channels


@strategy("one-shot", trains=False, source="Li et al. 2017, arXiv:1608.08710")
def one_shot(task: PruningTask) -> PruningOutcome:
    """Rank the channels once and remove them at once, without training in between."""
    start = time.perf_counter()
    allocation = task.choose(task.model, 1.0)
    return remove_channels(task, task.model, allocation, seconds={"score": time.perf_counter() - start})
