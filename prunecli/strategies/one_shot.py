"""One shot: rank once, remove once."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import REMOVED, Parts


@strategy(
    "one-shot",
    parts=Parts(schedule="one-shot", hardness=REMOVED),
    source="Li et al. 2017, arXiv:1608.08710",
)
def one_shot(task: PruningTask) -> PruningOutcome:
    """Rank the channels once, remove them at once, then train if epochs were asked for."""
    return carry_out(task)
