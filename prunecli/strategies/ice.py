"""Block after block, trained where accuracy has fallen (ICE), and the same trained after every block."""

from __future__ import annotations

from prunecli.strategies.carrying_out import carry_out
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.parts import ALWAYS, DROP, REMOVED, Parts, Recovery
from prunecli.strategies.schedules import BLOCKS

SOURCE = "Hu, Henderson and Cano 2025, arXiv:2505.07411"
PRUNING_AWARE = "pruning-aware"


@strategy(
    "ice",
    parts=Parts(
        schedule=BLOCKS,
        hardness=REMOVED,
        trigger=DROP,
        drop=1.5,
        recovery=Recovery(epochs_each=1, rate=PRUNING_AWARE, freeze_share=0.3, distill=True),
    ),
    source=SOURCE,
)
def ice(task: PruningTask) -> PruningOutcome:
    """Block by block, trained only where accuracy fell, with layers frozen and a rate that falls."""
    return carry_out(task)


# A pruning-aware rate that falls by nothing is constant: the paper's baseline has .001 throughout.
@strategy(
    "every-step",
    parts=Parts(
        schedule=BLOCKS,
        hardness=REMOVED,
        trigger=ALWAYS,
        recovery=Recovery(epochs_each=1, rate=PRUNING_AWARE, rate_fall=0.0),
    ),
    source=SOURCE,
)
def every_step(task: PruningTask) -> PruningOutcome:
    """Block by block, trained for an epoch at a constant rate of .001 after each: ICE's baseline."""
    return carry_out(task)
