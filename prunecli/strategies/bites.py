"""How the way to a pruning ratio is divided into bites, and the epochs among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from prunecli.errors import WrongUse, check_ranges

# Exact where it can be: the floor of a share that falls short by the last digit loses a channel.
Share = float | Fraction

# Hybrid: the epochs and the patience of a bite after the first, as a share of the first one's.
LATER_SHARE = 1 / 20


@dataclass(frozen=True, kw_only=True)
class BiteWishes:
    """What is asked of the bites; each strategy reads what concerns it.

    `steps` bites for iterative, geometric and log. `first` is hybrid's first bite as a share of the whole
    ratio, `later` the share of the remaining channels that each further one takes (None: 0.1 below a ratio
    of 0.8, else 0.02). `ratios` are manual's, of all channels, rising. `patience` ends a bite's training.
    Raises WrongUse for a value out of range.
    """

    steps: int = 5
    first: float = 0.7
    later: float | None = None
    ratios: tuple[float, ...] = ()
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        ranges = (
            ("steps", self.steps >= 1, "at least 1"),
            ("first", 0 < self.first < 1, "above 0 and below 1"),
            ("later", self.later is None or 0.001 <= self.later < 1, "from 0.001 to below 1"),
            ("ratios", all(0 < ratio < 1 for ratio in self.ratios), "above 0 and below 1"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
            ("min_delta", self.min_delta >= 0, "at least 0"),
        )
        check_ranges(self, ranges)
        if any(after <= before for before, after in pairwise(self.ratios)):
            raise WrongUse("the bites do not rise", hints=["for example: --bites 0.2,0.4,0.5"])


@dataclass(frozen=True, kw_only=True)
class Bite:
    """One bite: after it `ratio` of the channels there once were are gone, `share` of all that shall go.

    `epochs` are the most that it is trained for.
    """

    ratio: float
    share: Share
    epochs: int
    patience: int | None = None

    def document(self) -> dict[str, float]:
        """As JSON values."""
        return {"ratio": self.ratio, "epochs": self.epochs}


def constant_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Every bite takes the same part of what there once was: m / n of the ratio after bite m."""
    return tuple(Fraction(step, wishes.steps) for step in range(1, wishes.steps + 1))


def geometric_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Every bite takes the same part s of what is left.

    s = 1 − (1 − p)^(1/n), so that the last bite hits the ratio p; p / n, as the paper writes, falls short.
    """
    left = 1 - ratio
    shares = [(1 - left ** (step / wishes.steps)) / ratio for step in range(1, wishes.steps)]
    return (*shares, 1.0)


def log_shares(ratio: float, wishes: BiteWishes) -> tuple[Share, ...]:
    """Large bites first: their sizes are n … 1 with equal factors between them."""
    count = wishes.steps
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


SHARES: Mapping[str, Callable[[float, BiteWishes], tuple[Share, ...]]] = {
    "iterative": constant_shares,
    "geometric": geometric_shares,
    "log": log_shares,
    "hybrid": hybrid_shares,
    "manual": manual_shares,
}
"""Strategy → from ratio and wishes to the shares of the ratio that are gone after each bite, the last 1."""


def bites_of(strategy: str, ratio: float, wishes: BiteWishes, *, epochs: int) -> tuple[Bite, ...]:
    """The bites of a strategy of `SHARES`, none for another; `epochs` are those of all bites together.

    Equal parts of the epochs for each, for hybrid twenty times as many for the first. No bite goes without
    an epoch, so there may be more than `epochs` in all.
    """
    if strategy not in SHARES:
        return ()
    shares = SHARES[strategy](ratio, wishes)
    weights = [1.0] * len(shares)
    if strategy == "hybrid":
        weights[1:] = [LATER_SHARE] * (len(shares) - 1)
    counts = _divided(epochs, weights)
    return tuple(
        Bite(
            ratio=float(Fraction(str(ratio)) * Fraction(str(share))),
            share=share,
            epochs=count,
            patience=_patience(wishes.patience, weight),
        )
        for share, count, weight in zip(shares, counts, weights, strict=True)
    )


def _patience(patience: int | None, weight: float) -> int | None:
    return None if patience is None else max(1, round(patience * weight))


def _divided(epochs: int, weights: list[float]) -> list[int]:
    """Whole parts of `epochs` by weight, at least 1 each; what is left over goes to the first ones."""
    counts = [max(1, int(epochs * weight / sum(weights))) for weight in weights]
    place = 0
    while sum(counts) < epochs:
        counts[place % len(counts)] += 1
        place += 1
    return counts
