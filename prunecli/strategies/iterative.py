"""In bites: rank, remove, train, and again."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import REMOVED, Parts

SOURCE = "Janusz et al. 2025, One Shot vs. Iterative"
EPOCHS = 20


@strategy("iterative", parts=Parts(schedule="constant", hardness=REMOVED), epochs=EPOCHS, source=SOURCE)
def iterative(task: PruningTask) -> PruningOutcome:
    """Bites of equal size, each a part of what there once was, with training after each."""
    return carry_out(task)


@strategy("geometric", parts=Parts(schedule="geometric", hardness=REMOVED), epochs=EPOCHS, source=SOURCE)
def geometric(task: PruningTask) -> PruningOutcome:
    """Bites that each take the same part of what is left, with training after each."""
    return carry_out(task)


@strategy("log", parts=Parts(schedule="log", hardness=REMOVED), epochs=EPOCHS, source=SOURCE)
def logarithmic(task: PruningTask) -> PruningOutcome:
    """Large bites first, then smaller ones, with training after each."""
    return carry_out(task)


@strategy("hybrid", parts=Parts(schedule="hybrid", hardness=REMOVED), epochs=EPOCHS, source=SOURCE)
def hybrid(task: PruningTask) -> PruningOutcome:
    """One large bite with a long training, then small ones with short ones."""
    return carry_out(task)


@strategy("manual", parts=Parts(schedule="manual", hardness=REMOVED), epochs=EPOCHS, source=SOURCE)
def manual(task: PruningTask) -> PruningOutcome:
    """Bites as they are given by --bites, with training after each."""
    return carry_out(task)
