"""Bring groups' scores onto one scale, which a ranking over all groups needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def _ranks(scores: Scores) -> Scores:
    order = np.empty(scores.size)
    order[np.argsort(scores, kind="stable")] = np.arange(1, scores.size + 1)
    return order


SCALES: dict[str, Callable[[Scores], Scores | float]] = {
    "none": lambda scores: 1.0,
    "mean": lambda scores: float(np.abs(scores).mean()),
    "l2": lambda scores: float(np.linalg.norm(scores)),
    "max": lambda scores: float(np.abs(scores).max()),
    "sum": lambda scores: float(np.abs(scores).sum()),
    "std": lambda scores: float(scores.std()),
}
NORMALIZATIONS = (*SCALES, "rank")
"""Those that read the scores alone."""
PER_MAC = "per-MAC"
"""The one that reads a cost as well: score ÷ MACs that removing one channel of the layer or group saves."""
ALL_NORMALIZATIONS = (*NORMALIZATIONS, PER_MAC)


def normalise_scores(scores: Scores, how: str, *, cost: float | None = None) -> Scores:
    """(channels,) scores over their mean, l2 norm, maximum, sum, deviation or cost, or their rank shares.

    A scale of zero leaves the scores as they are. `cost` is read by `per-MAC` alone, which without a
    positive one is a ValueError: a channel that saves nothing has no score for each MAC.
    """
    if how == "rank":
        return _ranks(scores) / scores.size
    if how == PER_MAC:
        if cost is None or not cost > 0:
            raise ValueError(f"per-MAC needs a positive cost, not {cost}")
        return scores / cost
    scale = SCALES[how](scores)
    return scores / scale if scale else scores
