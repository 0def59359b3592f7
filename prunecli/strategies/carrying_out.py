"""A strategy from its parts: bite by bite, or along one training."""

from __future__ import annotations

from prunecli.strategies.contract import PruningOutcome, PruningTask


def carry_out(task: PruningTask) -> PruningOutcome:
    """Carry out the parts of the task."""
    if task.made_of().in_bites:
        from prunecli.strategies.procedures.stepwise import bite_by_bite

        return bite_by_bite(task)
    from prunecli.strategies.procedures.in_training import prune_in_training

    return prune_in_training(task)
