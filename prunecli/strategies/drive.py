"""Inspired by DRIVE: many small bites by three signals of a weight, without training between them."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import NEVER, REMOVED, Parts

EPOCHS = 20
# SynFlow takes 100 rounds, over single weights. Layers of 16 to 64 filters hardly differ after more than 20.
ROUNDS = 20


@strategy(
    "drive",
    parts=Parts(schedule="geometric", hardness=REMOVED, trigger=NEVER, steps=ROUNDS),
    epochs=EPOCHS,
    criterion="drive",
    source="inspired by DRIVE, 2024, arXiv:2404.03687",
)
def dual_gradient_pruning(task: PruningTask) -> PruningOutcome:
    """Rounds by magnitude, sensitivity and gradient, each measured anew, then one training.

    The paper's mixture of the three, its schedule and its single weights are not public or not ours: here
    they are summed over a filter with equal weights, and what is left falls by the same part each round.
    """
    return carry_out(task)
