"""Which units a ranking removes: the lowest scores, ties by index."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
"""(N,) importance scores, higher = keep."""


def removed_count(ratio: float | Fraction, *, units: int) -> int:
    """⌊ratio × units⌋ of the ratio as it is written: 0.29 of 100 are 29, though 0.29 * 100 < 29 in floats."""
    return math.floor(Fraction(str(ratio)) * units)


def removal_order(scores: Scores) -> npt.NDArray[np.intp]:
    """Indices (N,) from the first to be removed to the last; equal scores in the order of their index."""
    return np.argsort(scores, kind="stable")


def removed_set(scores: Scores, *, ratio: float) -> frozenset[int]:
    """The indices of the ⌊ratio × N⌋ lowest scores (N,)."""
    count = removed_count(ratio, units=len(scores))
    return frozenset(removal_order(scores)[:count].tolist())
