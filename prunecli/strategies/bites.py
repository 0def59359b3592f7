"""How the way to a pruning ratio is divided into bites, and the epochs among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from prunecli.errors import WrongUse, check_ranges
from prunecli.strategies.parts import NEVER, Parts
from prunecli.strategies.schedules import BLOCKS, Share, shares_in_bites

# Hybrid: the epochs and the patience of a bite after the first, as a share of the first one's.
LATER_SHARE = 1 / 20


@dataclass(frozen=True, kw_only=True)
class BiteWishes:
    """What is asked of the bites; each schedule reads what concerns it.

    `steps` bites where the schedule does not say how many (None: the strategy's own, else 5). `first` is
    hybrid's first bite as a share of the whole ratio, `later` the share of the remaining channels that each
    further one takes (None: 0.1 below a ratio of 0.8, else 0.02). `ratios` are manual's, of all channels,
    rising. `patience` ends a bite's training.
    Raises WrongUse for a value out of range.
    """

    steps: int | None = None
    first: float = 0.7
    later: float | None = None
    ratios: tuple[float, ...] = ()
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        ranges = (
            ("steps", self.steps is None or self.steps >= 1, "at least 1"),
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
class Block:
    """A part of the network that is pruned in one bite: its name, and the groups that its layers make."""

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Bite:
    """One bite: after it `ratio` of what there once was is gone, `share` of all that shall go.

    What is counted are channels, or the cost `of` a target.

    With a `block` only its groups lose channels. `epochs` are the most that is trained after it if the
    trigger says so, `final` what is trained after the last one in any case.
    """

    ratio: float
    share: Share
    epochs: int
    final: int = 0
    patience: int | None = None
    block: Block | None = None
    of: str = "channels"

    @property
    def words(self) -> str:
        """What it takes, for a remark."""
        taken = f"{100 * self.ratio:.3g} % of the {self.of}"
        return taken if self.block is None else f"{taken} of {self.block.name}"

    def document(self) -> dict[str, float | str]:
        """As JSON values."""
        found: dict[str, float | str] = {"ratio": self.ratio, "epochs": self.epochs + self.final}
        return found if self.block is None else {**found, "block": self.block.name}


def bites_of(
    parts: Parts,
    ratio: float,
    wishes: BiteWishes,
    *,
    epochs: int,
    blocks: Sequence[Block] = (),
    of: str = "channels",
) -> tuple[Bite, ...]:
    """The bites of a strategy of these parts, none where channels leave at the end only.

    `epochs` are those of all bites together, in equal parts, for hybrid twenty times as many for the first;
    no bite goes without an epoch, so there may be more in all. With a trigger of never the last bite has
    them all, and with no epochs nothing is trained. `epochs_each` of the recovery stand in their place.
    """
    if not parts.in_bites:
        return ()
    wishes = replace(wishes, steps=wishes.steps or parts.steps)
    by_block: Sequence[Block | None] = blocks if parts.schedule == BLOCKS else ()
    shares: Sequence[Share] = [1.0] * len(by_block) or shares_in_bites(parts.schedule, ratio, wishes)
    weights = [1.0] * len(shares)
    if parts.schedule == "hybrid":
        weights[1:] = [LATER_SHARE] * (len(shares) - 1)
    counts = _epochs(parts, epochs, weights)
    found = [
        Bite(
            ratio=float(Fraction(str(ratio)) * Fraction(str(share))),
            share=share,
            epochs=count,
            patience=_patience(wishes.patience, weight),
            block=block,
            of=of,
        )
        for share, count, weight, block in zip(
            shares, counts, weights, by_block or [None] * len(shares), strict=True
        )
    ]
    return (*found[:-1], replace(found[-1], final=parts.recovery.final_epochs)) if found else ()


def _epochs(parts: Parts, epochs: int, weights: list[float]) -> list[int]:
    """The epochs after each bite, but for the final ones."""
    each = parts.recovery.epochs_each
    if each is not None:
        return [each] * len(weights)
    if parts.trigger == NEVER or not epochs:
        return [0] * (len(weights) - 1) + [epochs]
    return _divided(epochs, weights)


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
