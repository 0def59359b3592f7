"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

# From the share 0 ≤ s < 1 of the steps after the warm-up that is done, to the factor on the highest rate.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda share: 0.5 * (1 + math.cos(math.pi * share)),
    "constant": lambda share: 1.0,
}


def learning_rate(schedule: str, *, highest: float, step: int, steps: int, warmup_steps: int = 0) -> float:
    """The rate at `step` (from 0) of `steps`.

    In the warm-up it rises linearly, lr = highest · (step + 1) / (warmup_steps + 1), so that its first
    step is not zero and the step after it is the first at the highest rate.
    """
    if step < warmup_steps:
        return highest * (step + 1) / (warmup_steps + 1)
    return highest * SCHEDULES[schedule]((step - warmup_steps) / (steps - warmup_steps))
