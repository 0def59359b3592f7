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


def normalise_scores(scores: Scores, how: str) -> Scores:
    """(channels,) scores divided by their mean, l2 norm, maximum, sum or deviation, or their rank share.

    A scale of zero leaves the scores as they are.
    """
    if how == "rank":
        return _ranks(scores) / scores.size
    scale = SCALES[how](scores)
    return scores / scale if scale else scores
