"""What a strategy is made of: schedule, hardness, trigger and recovery, each a choice of its own.

A named strategy is a preset of them, and each can be said anew: `--strategy sfp --ratio-schedule one-cycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from prunecli.errors import WrongUse, check_ranges, unknown_name
from prunecli.strategies.schedules import BLOCKS, SCHEDULES

REMOVED = "removed"
HARDNESSES: Mapping[str, str] = {
    REMOVED: "leaves at once, and the network behind it is smaller",
    "masked": "is zero and stays so; leaves at the end",
    "zeroed": "is zeroed after every step of the schedule and goes on learning; leaves at the end",
    "decayed": "is scaled by a falling factor and goes on learning; leaves at the end",
    "gradual": "is zeroed and goes on learning, a growing share stays zero; leaves at the end",
}
"""Hardness → what a pruned filter still does."""

ALWAYS, NEVER, DROP = "always", "never", "drop"
TRIGGERS: Mapping[str, str] = {
    ALWAYS: "after every bite",
    DROP: "after a bite that leaves the validation accuracy too far below that of the dense network",
    NEVER: "after the last bite only",
}
"""Trigger → when the network is trained."""

RATES: Mapping[str, str] = {
    "fixed": "every training begins with --lr",
    "pruning-aware": "a constant rate that falls with the share of weights that left (ICE)",
}
"""Rate → which learning rate a training after a bite has."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How a network is trained after a bite.

    `epochs_each` are those of each training (None: the strategy's epochs are divided among the bites), and
    `final_epochs` come after the last bite. `rate` is one of `RATES`, with the numbers of the pruning-aware
    one. `freeze_share` of the convolutions, those that changed least in a trial, stay as they are. With
    `distill` the network before pruning is the teacher, as the training's settings weigh it.
    """

    epochs_each: int | None = None
    final_epochs: int = 0
    rate: str = "fixed"
    rate_base: float = 0.001
    rate_midpoint: float = 0.12
    rate_steepness: float = 50.0
    rate_fall: float = 0.00075
    freeze_share: float = 0.0
    distill: bool = False

    def __post_init__(self) -> None:
        ranges = (
            ("epochs_each", self.epochs_each is None or self.epochs_each >= 1, "at least 1"),
            ("final_epochs", self.final_epochs >= 0, "at least 0"),
            ("rate_base", self.rate_base > 0, "above 0"),
            ("rate_midpoint", 0 < self.rate_midpoint < 1, "above 0 and below 1"),
            ("rate_steepness", self.rate_steepness > 0, "above 0"),
            ("rate_fall", 0 <= self.rate_fall < self.rate_base, "from 0 to below rate_base"),
            ("freeze_share", 0 <= self.freeze_share < 1, "from 0 to below 1"),
        )
        check_ranges(self, ranges)
        if self.rate not in RATES:
            raise unknown_name("rate", self.rate, RATES)

    @property
    def words(self) -> str:
        """What it comes to, in a line."""
        each = self.epochs_each
        found = ["epochs divided among the bites" if each is None else f"{each} epoch{'s'[: each > 1]} each"]
        if self.rate != "fixed":
            found.append(f"{self.rate} rate")
        if self.freeze_share:
            found.append(f"{self.freeze_share:.0%} of the layers frozen")
        if self.distill:
            found.append("taught by the dense network")
        if self.final_epochs:
            found.append(f"{self.final_epochs} at the end")
        return ", ".join(found)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a strategy.

    `schedule` (of `SCHEDULES`) says how much is gone when, `hardness` (of `HARDNESSES`) what a pruned filter
    may still do, `trigger` (of `TRIGGERS`) when the network is trained, with `drop` the points that its
    validation accuracy must have fallen by, and `recovery` how. `alpha` is the factor with which `decayed`
    begins, `steps` are the bites where nobody says how many. Where filters are pruned while the network
    trains, they are ranked anew after `prune_every` steps of the optimiser (None: after every epoch).

    Raises WrongUse for a part that there is not, and for parts that do not go together.
    """

    schedule: str
    hardness: str
    trigger: str = ALWAYS
    drop: float = 1.0
    recovery: Recovery = Recovery()
    alpha: float = 1.0
    prune_every: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("ratio schedule", self.schedule, SCHEDULES),
            ("hardness", self.hardness, HARDNESSES),
            ("trigger", self.trigger, TRIGGERS),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        ranges = (
            ("drop", self.drop >= 0, "at least 0"),
            ("alpha", 0 < self.alpha <= 1, "above 0, up to 1"),
            ("prune_every", self.prune_every is None or self.prune_every >= 1, "at least 1"),
        )
        check_ranges(self, ranges)
        if self.in_bites:
            return
        if self.schedule == BLOCKS:
            raise WrongUse(
                "block by block, channels leave at once",
                hints=[f"take --hardness {REMOVED}, or another schedule"],
            )
        if self.trigger != ALWAYS or self.recovery != Recovery(distill=self.recovery.distill):
            raise WrongUse(
                f"filters that are {self.hardness} while the network trains leave no bite to recover from",
                hints=[f"--trigger, --epochs-each and the like go with --hardness {REMOVED}"],
            )

    @property
    def in_bites(self) -> bool:
        """Whether channels leave at once, bite by bite, and the network is trained between."""
        return self.hardness == REMOVED

    def document(self) -> dict[str, str]:
        """Part → what it is, for the catalog and the history in a file."""
        if not self.in_bites:
            every = "epoch" if self.prune_every is None else f"{self.prune_every} steps"
            recovery = f"one training, ranked anew every {every}"
            recovery += ", taught by the dense network" if self.recovery.distill else ""
            return {
                "schedule": self.schedule,
                "hardness": self.hardness,
                "trigger": ALWAYS,
                "recovery": recovery,
            }
        trigger = f"{DROP} of {self.drop:g} points" if self.trigger == DROP else self.trigger
        return {
            "schedule": self.schedule,
            "hardness": self.hardness,
            "trigger": trigger,
            "recovery": self.recovery.words,
        }


@dataclass(frozen=True, kw_only=True)
class PartWishes:
    """Parts that were asked for in place of a preset's, named as in the two above; None leaves its own."""

    schedule: str | None = None
    hardness: str | None = None
    trigger: str | None = None
    drop: float | None = None
    alpha: float | None = None
    prune_every: int | None = None
    epochs_each: int | None = None
    final_epochs: int | None = None
    rate: str | None = None
    rate_base: float | None = None
    rate_midpoint: float | None = None
    rate_steepness: float | None = None
    rate_fall: float | None = None
    freeze_share: float | None = None
    distill: bool | None = None

    @property
    def any(self) -> bool:
        """Whether anything was asked for."""
        return self != PartWishes()

    def on(self, preset: Parts) -> Parts:
        """The preset with what was asked for; raises WrongUse when it does not go together."""
        asked = {name: value for name, value in vars(self).items() if value is not None}
        of_parts = {name: value for name, value in asked.items() if name in Parts.__dataclass_fields__}
        recovery = {name: value for name, value in asked.items() if name not in of_parts}
        return replace(preset, **of_parts, recovery=replace(preset.recovery, **recovery))
