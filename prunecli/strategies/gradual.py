"""Gradually, along one training: one-cycle and agp, whose masks only grow."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import Parts

EPOCHS = 20
# The papers rank anew at every step; ten steps change little and cost a tenth.
PRUNE_EVERY = 10


@strategy(
    "one-cycle",
    parts=Parts(schedule="one-cycle", hardness="masked", prune_every=PRUNE_EVERY),
    epochs=EPOCHS,
    source="Hubens et al. 2021, arXiv:2107.02086",
)
def one_cycle_pruning(task: PruningTask) -> PruningOutcome:
    """Slow, fast, slow along one training; best with --schedule one-cycle."""
    return carry_out(task)


@strategy(
    "agp",
    parts=Parts(schedule="cubic", hardness="masked", prune_every=PRUNE_EVERY),
    epochs=EPOCHS,
    source="Zhu and Gupta 2017, arXiv:1710.01878",
)
def automated_gradual_pruning(task: PruningTask) -> PruningOutcome:
    """Fast first, then ever slower along one training."""
    return carry_out(task)
