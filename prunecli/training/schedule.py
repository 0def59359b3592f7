"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from prunecli.errors import WrongUse

# The shape of a cycle: how much of it rises, and by what its ends are below the highest rate.
_RISE = 0.3
_START_BELOW = 25.0
_END_BELOW = _START_BELOW * 1e4


def _cosine(step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * (step / steps)))


def _constant(step: int, steps: int) -> float:
    return 1.0


def _step(step: int, steps: int) -> float:
    """A tenth from half of the steps on, a hundredth from three quarters on.

    He et al. 2016 (arXiv:1512.03385), in their networks for CIFAR-10.
    """
    if 4 * step >= 3 * steps:
        return 0.01
    return 0.1 if 2 * step >= steps else 1.0


def _one_cycle(step: int, steps: int) -> float:
    """Up from 1/25 along a cosine in three tenths of the steps, then down to 1/250 000 at the last one.

    Smith & Topin 2018 (arXiv:1708.07120), with the cosines and the numbers of torch's `OneCycleLR`. Its
    peak lies between two steps unless 0.3 · steps is whole, so the highest rate may be just missed.
    """
    peak = _RISE * steps - 1
    if step <= peak:
        return _between(1 / _START_BELOW, 1.0, share=step / peak)
    return _between(1.0, 1 / _END_BELOW, share=(step - peak) / (steps - 1 - peak))


def _between(start: float, end: float, *, share: float) -> float:
    """From `start` to `end` along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


# From the step after the warm-up (from 0) and how many there are, to the factor on the highest rate.
SCHEDULES: Mapping[str, Callable[[int, int], float]] = {
    "cosine": _cosine,
    "constant": _constant,
    "step": _step,
    "one-cycle": _one_cycle,
}


def check_schedule(schedule: str, *, warmup_epochs: int) -> None:
    """Raise WrongUse for a warm-up before `one-cycle`, which starts with a rise of its own."""
    if schedule == "one-cycle" and warmup_epochs:
        raise WrongUse(
            f"one-cycle has a rise of its own and takes no warm-up, {warmup_epochs} epochs were given",
            hints=["leave the warm-up out, or take another schedule: cosine, step, constant"],
        )


def learning_rate(schedule: str, *, highest: float, step: int, steps: int, warmup_steps: int = 0) -> float:
    """The rate at `step` (from 0) of `steps`.

    In the warm-up it rises linearly, lr = highest · (step + 1) / (warmup_steps + 1), so that its first
    step is not zero and the step after it is the first of the schedule, which has the steps that are left.
    """
    if step < warmup_steps:
        return highest * (step + 1) / (warmup_steps + 1)
    return highest * SCHEDULES[schedule](step - warmup_steps, steps - warmup_steps)
