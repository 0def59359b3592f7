"""Hard, soft and in between: hfp, sfp, asfp, srfp, asrfp and ghfp, which prune along one training."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import Parts

EPOCHS = 20


@strategy(
    "hfp",
    parts=Parts(schedule="one-shot", hardness="masked"),
    epochs=EPOCHS,
    source="baseline of Cai et al. 2020, arXiv:2011.03170",
)
def hard_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Hard: filters chosen before training are zero throughout and never come back."""
    return carry_out(task)


@strategy(
    "sfp",
    parts=Parts(schedule="one-shot", hardness="zeroed"),
    epochs=EPOCHS,
    source="He et al. 2018, arXiv:1808.06866",
)
def soft_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Soft: the lowest filters are zeroed after every epoch and go on learning."""
    return carry_out(task)


@strategy(
    "asfp",
    parts=Parts(schedule="exponential", hardness="zeroed"),
    epochs=EPOCHS,
    source="He et al. 2019, arXiv:1808.07471",
)
def asymptotic_soft_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Soft, with a ratio that approaches its target exponentially."""
    return carry_out(task)


@strategy(
    "srfp",
    parts=Parts(schedule="one-shot", hardness="decayed"),
    epochs=EPOCHS,
    source="Cai et al. 2020, arXiv:2010.09498",
)
def softer_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Softer: pruned filters are scaled by a decaying factor in place of zero."""
    return carry_out(task)


@strategy(
    "asrfp",
    parts=Parts(schedule="exponential", hardness="decayed"),
    epochs=EPOCHS,
    source="Cai et al. 2020, arXiv:2010.09498",
)
def asymptotic_softer_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Softer, with a ratio that approaches its target exponentially."""
    return carry_out(task)


@strategy(
    "ghfp",
    parts=Parts(schedule="cubic", hardness="gradual"),
    epochs=EPOCHS,
    source="Cai et al. 2020, arXiv:2011.03170",
)
def gradual_hard_filter_pruning(task: PruningTask) -> PruningOutcome:
    """From soft to hard: a growing share of the pruned filters may not recover."""
    return carry_out(task)
