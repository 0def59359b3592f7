"""How much of the ratio is gone when: the schedules, in bites or along one training.

Some schedules are made of bites (constant, geometric, hybrid …), others are curves over the progress x from 0
to 1. A curve is divided into bites where channels leave at once; bites are stretched over the epochs where
filters are masked while the network trains.

Constants of the curves as in the code published with PGMPF (AAAI 2022), whose first author wrote GHFP;
whether the GHFP paper uses the same curves was not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from prunecli.strategies.bites import BiteWishes

# Exact where it can be: the floor of a share that falls short by the last digit loses a channel.
Share = float | Fraction
Shares = Callable[[float, "BiteWishes"], tuple[Share, ...]]
"""From ratio and wishes to the shares of the ratio that are gone after each bite, the last 1."""
Curve = Callable[[float], float]
"""From the progress (0 to 1) to the share of the ratio that is gone."""

REACHES_THREE_QUARTERS_AT = 1 / 8
FULL_FROM = 0.95
# One-cycle pruning: steepness and place of the rise, of paper and README (fasterai takes 6 for the latter).
STEEPNESS, SHIFT = 14.0, 5.0
STEPS = 5  # bites, where nobody says how many


@dataclass(frozen=True)
class Schedule:
    """Bites, or a curve. `ahead`: at epoch t of T the curve is read at (t + 1) / T, else at t / T."""

    caption: str
    shares: Shares | None = None
    curve: Curve | None = None
    ahead: bool = True


def one_bite(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """All at once."""
    return (1.0,)


def constant_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Every bite takes the same part of what there once was: m / n of the ratio after bite m."""
    count = wishes.steps or STEPS
    return tuple(Fraction(step, count) for step in range(1, count + 1))


def geometric_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Every bite takes the same part s of what is left.

    s = 1 − (1 − p)^(1/n), so that the last bite hits the ratio p; p / n, as the paper writes, falls short.
    """
    left, count = 1 - ratio, wishes.steps or STEPS
    shares = [(1 - left ** (step / count)) / ratio for step in range(1, count)]
    return (*shares, 1.0)


def log_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Large bites first: their sizes are n … 1 with equal factors between them."""
    count = wishes.steps or STEPS
    sizes = [count ** ((count - 1 - step) / max(1, count - 1)) for step in range(count)]
    done, shares = 0.0, []
    for size in sizes:
        done += size
        shares.append(done / sum(sizes))
    return (*shares[:-1], 1.0)


def hybrid_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """One large bite, then small ones that each take the same part of what is left."""
    later = wishes.later or (0.1 if ratio < 0.8 else 0.02)
    gone = wishes.first * ratio
    shares = [gone / ratio]
    while gone < ratio:
        gone = min(ratio, 1 - (1 - gone) * (1 - later))
        shares.append(gone / ratio)
    return (*shares[:-1], 1.0)


def manual_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """As they were given; the last one is the ratio. Raises WrongUse when it is another."""
    if not wishes.ratios:
        raise WrongUse("manual goes by bites of your own", hints=["for example: --bites 0.2,0.4,0.5"])
    if wishes.ratios[-1] != ratio:
        raise WrongUse(
            f"the last bite is {wishes.ratios[-1]:g} and the ratio {ratio:g}", hints=["give them alike"]
        )
    whole = Fraction(str(ratio))
    return tuple(Fraction(str(each)) / whole for each in wishes.ratios)


def linear(x: float) -> float:
    """The same part at every step."""
    return x


def cubic(x: float) -> float:
    """1 − (1 − x)³: AGP (Zhu & Gupta 2017) from nothing on, and the rate of GHFP."""
    return 1 - (1 - x) ** 3


def exponential(x: float) -> float:
    """1 − 4^(−8x): three quarters at x = 1/8, all from 0.95 on (He et al. 2019, ASFP)."""
    return 1.0 if x >= FULL_FROM else 1 - math.exp(-math.log(4) * x / REACHES_THREE_QUARTERS_AT)


def one_cycle(x: float) -> float:
    """(1 + e^(−a + b)) / (1 + e^(−a x + b)), a = 14, b = 5 (Hubens et al. 2021, One-Cycle Pruning)."""
    return (1 + math.exp(SHIFT - STEEPNESS)) / (1 + math.exp(SHIFT - STEEPNESS * x))


BLOCKS = "blocks"
SCHEDULES: Mapping[str, Schedule] = {
    "one-shot": Schedule("all at once", shares=one_bite),
    "constant": Schedule("bites of equal size", shares=constant_shares),
    "geometric": Schedule("bites that take the same part of what is left", shares=geometric_shares),
    "log": Schedule("large bites first", shares=log_shares),
    "hybrid": Schedule("one large bite, then small ones", shares=hybrid_shares),
    "manual": Schedule("bites of your own", shares=manual_shares),
    BLOCKS: Schedule("block by block, from the input to the output", shares=one_bite),
    "linear": Schedule("the same part at every step", curve=linear),
    "cubic": Schedule("fast first, then slower: 1 − (1 − x)³", curve=cubic),
    "exponential": Schedule(
        "three quarters in the first eighth: 1 − 4^(−8x)", curve=exponential, ahead=False
    ),
    "one-cycle": Schedule("slow, fast, slow: an s-curve", curve=one_cycle),
}


def shares_in_bites(name: str, ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """The shares of the ratio that are gone after each bite; a curve is read at n equal steps."""
    schedule = SCHEDULES[name]
    if schedule.shares is not None:
        return schedule.shares(ratio, wishes)
    assert schedule.curve is not None
    count = wishes.steps or STEPS
    found = [schedule.curve(step / count) for step in range(1, count)]
    return (*(share for share in found if share < 1), 1.0)


def shares_in_training(name: str, ratio: float, wishes: BiteWishes, *, points: int) -> tuple[float, ...]:
    """The share of the ratio that is pruned at each of `points` equal steps of a training, the last 1."""
    schedule = SCHEDULES[name]
    if schedule.curve is not None:
        shares = [schedule.curve((point + schedule.ahead) / points) for point in range(points)]
    else:
        assert schedule.shares is not None
        bites = schedule.shares(ratio, wishes)
        shares = [float(bites[point * len(bites) // points]) for point in range(points)]
    return (*shares[:-1], 1.0)
