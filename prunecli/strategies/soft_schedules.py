"""How much of a filter's pruning holds at epoch t: the schedules of the soft family.

P_t is the share that is pruned, α_t what a pruned filter keeps of its weights, λ_t the share of the pruned
ones that may not recover. Values and constants as in the code published with PGMPF (AAAI 2022), whose first
author wrote GHFP; whether the GHFP paper uses the same curves was not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]
"""(epoch from 0, epochs) → value."""

REACHES_THREE_QUARTERS_AT = 1 / 8
FULL_FROM = 0.95
ALPHA_ENDS = 0.9
SIGMA = 1e-5


def constant(value: float) -> Schedule:
    """The same value throughout."""
    return lambda epoch, epochs: value


def cubic(epoch: int, epochs: int) -> float:
    """1 − (1 − (t+1)/T)³: from nearly nothing to one."""
    return float(1 - (1 - (epoch + 1) / epochs) ** 3)


def asymptotic(epoch: int, epochs: int) -> float:
    """1 − e^(−kt) with k = ln 4 / (T/8): three quarters at T/8, all from 0.95 T on (He et al. 2019)."""
    if epoch >= FULL_FROM * epochs:
        return 1.0
    return 1 - math.exp(-math.log(4) / (REACHES_THREE_QUARTERS_AT * epochs) * epoch)


def decay(alpha0: float, sigma: float = SIGMA) -> Schedule:
    """α0 · e^(−kt), k = −ln(σ / (α0 + 0.01 σ)) / T, and nothing from 0.9 T on (Cai et al. 2020)."""

    def alpha(epoch: int, epochs: int) -> float:
        if epoch >= ALPHA_ENDS * epochs:
            return 0.0
        k = -math.log(sigma / (alpha0 + 0.01 * sigma)) / epochs
        return alpha0 * math.exp(-k * epoch)

    return alpha
