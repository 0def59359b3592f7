"""A learning rate that falls with what has been pruned, after ICE."""

from __future__ import annotations

import math

from prunecli.errors import WrongUse


def pruning_aware_rate(
    left: float, *, base: float = 0.001, p: float = 0.12, beta: float = 50.0, delta: float = 0.00075
) -> float:
    """The rate of a training where the share `left` (0 to 1) of the original weights is left.

    lr(x) = base − delta / (1 + (x / (2(1 − p) − x))^beta)

    A sigmoid that falls from `base` to `base` − `delta` as weights leave, with its middle where the share p
    has left, the steeper the higher `beta`. From x = 2(1 − p) on, where the power has no value, it is
    `base`. Hu et al. 2025 (arXiv:2505.07411). Raises WrongUse for numbers that give no rate above 0.
    """
    for name, value, fits, valid in (
        ("left", left, 0 <= left <= 1, "from 0 to 1"),
        ("p", p, 0 < p < 1, "above 0 and below 1"),
        ("beta", beta, 0 < beta < math.inf, "above 0"),
        ("delta", delta, 0 <= delta < base, f"at least 0 and below base, which is {base:g}"),
    ):
        if not fits:
            raise WrongUse(f"{name} cannot be {value:g} in a pruning-aware rate", hints=[f"valid: {valid}"])
    rest = 2 * (1 - p) - left
    if rest <= 0:
        return base
    if left == 0:
        return base - delta
    # 1 / (1 + e^a) = (1 − tanh(a / 2)) / 2; the power itself overflows near x = 2(1 − p).
    power = beta * (math.log(left) - math.log(rest))
    return base - delta * 0.5 * (1 - math.tanh(power / 2))
