"""When a trial is not worth going on with: combined early stopping after May et al. 2022, arXiv:2202.00598.

Three layers, each a function of figures alone; any of them may stop a trial. The published code has two sign
bugs where figures are maximised or stopped by their median. Here the direction is a value that every
comparison goes through, so that minimising the negated figures decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

COMPARISON, SEMANTIC, THRESHOLD = "comparison", "semantic", "threshold"
LAYERS = (COMPARISON, SEMANTIC, THRESHOLD)

MAXIMISE, MINIMISE = 1, -1
"""A direction: the sign that makes more mean better."""

FACTOR = 3
"""Successive halving: one in so many goes on, and the next look comes after so many times the steps."""
SETTLED = 3
"""The threshold waits until more steps than this are done."""
TRIMMED = 0.2


@dataclass(frozen=True)
class Verdict:
    """Which layer stops a trial, and why in words."""

    layer: str
    reason: str


def trimmed_mean(figures: Sequence[float], *, share: float = TRIMMED) -> float:
    """The mean without the floor(share · n) lowest and as many highest."""
    cut = int(share * len(figures))
    return fmean(sorted(figures)[cut : len(figures) - cut])


def is_rung(step: int, *, factor: int = FACTOR) -> bool:
    """Whether successive halving looks after `step` steps: after 1, 3, 9 and so on."""
    while step > 1 and step % factor == 0:
        step //= factor
    return step == 1


def falls_behind(
    own: float, others: Sequence[float], *, direction: int = MAXIMISE, factor: int = FACTOR
) -> bool:
    """Whether successive halving stops a figure among those that `others` had after as many steps.

    Of n figures, `own` among them, the best floor(n / factor) go on, and the best one always; as in Optuna's
    SuccessiveHalvingPruner (Li et al. 2018, arXiv:1810.05934), ties go on.
    """
    ranked = sorted((direction * figure for figure in (*others, own)), reverse=True)
    last = ranked[max(len(ranked) // factor, 1) - 1]
    return direction * own < last


def optimistic_estimate(history: Sequence[float], *, left: int, optimum: float) -> float:
    """What the figures come to if the steps `left` reach the optimum: (median(v) · s + m · r) / (s + r)."""
    steps = len(history)
    return (median(history) * steps + optimum * left) / (steps + left)


def is_active(steps: int, *, inner: int, outer: int = 0, settled: int = SETTLED) -> bool:
    """Whether the threshold looks: s > 3, s ≥ floor(k / 2) and floor(k / 2) < o / 3; 0 for o is infinite."""
    half = inner // 2
    return steps > settled and steps >= half and half < (outer / 3 if outer else math.inf)


def is_out_of_reach(
    history: Sequence[float],
    *,
    left: int,
    optimum: float,
    threshold: float,
    direction: int = MAXIMISE,
) -> bool:
    """Whether even the optimistic estimate misses the threshold; one that meets it goes on."""
    estimate = optimistic_estimate(history, left=left, optimum=optimum)
    return direction * estimate < direction * threshold
