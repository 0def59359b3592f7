"""What a pruned filter may still do while the network trains, at step t of T of the schedule.

α_t is what it keeps of its weights, λ_t the share of the pruned ones that may not recover. Constants as in
the code published with PGMPF (AAAI 2022), whose first author wrote GHFP; whether the GHFP paper uses the same
curve was not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from prunecli.strategies.schedules import cubic

Over = Callable[[int, int], float]
"""(step from 0, steps) → value."""

ALPHA_ENDS = 0.9
SIGMA = 1e-5


def constant(value: float) -> Over:
    """The same value throughout."""
    return lambda step, steps: value


def growing(step: int, steps: int) -> float:
    """1 − (1 − (t+1)/T)³: from nearly nothing to one."""
    return cubic((step + 1) / steps)


def decay(alpha0: float) -> Over:
    """α0 · e^(−kt), k = −ln(σ / (α0 + 0.01 σ)) / T, and nothing from 0.9 T on (Cai et al. 2020)."""

    def alpha(step: int, steps: int) -> float:
        if step >= ALPHA_ENDS * steps:
            return 0.0
        k = -math.log(SIGMA / (alpha0 + 0.01 * SIGMA)) / steps
        return alpha0 * math.exp(-k * step)

    return alpha


@dataclass(frozen=True)
class HardnessRule:
    """α_t and λ_t."""

    alpha: Over
    hardness: Over


def hardness_rule(name: str, *, alpha: float) -> HardnessRule:
    """The rule of a hardness other than removed; `alpha` is the factor with which `decayed` begins."""
    return {
        "masked": HardnessRule(constant(0.0), constant(1.0)),
        "zeroed": HardnessRule(constant(0.0), constant(0.0)),
        "decayed": HardnessRule(decay(alpha), constant(0.0)),
        "gradual": HardnessRule(constant(0.0), growing),
    }[name]
