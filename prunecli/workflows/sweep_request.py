"""What a sweep is asked for: the values to try, how much of it, and where the trials are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.allocation.targets import read_target
from prunecli.errors import check_ranges, unknown_name
from prunecli.search.samplers import GRID
from prunecli.search.space import Space, Span, size
from prunecli.search.stopping import LAYERS, SETTLED
from prunecli.search.study import LOST_AFTER

STORAGE = "sweep.journal"
TRIALS = 30
"""As many trials as a sampler other than the grid makes, where nothing is said."""
EPOCHS = 10
"""The same for every strategy: one with more of them would win by its budget."""


@dataclass(frozen=True, kw_only=True)
class SweepSpace:
    """The values to be tried of each choice; a `Span` of ratios is gone through in its steps.

    `targets` say what may remain (`macs=0.5`), in the place of the ratios. Raises WrongUse for what is none.
    """

    ratios: Sequence[float] | Span = (0.3, 0.5, 0.7)
    criteria: Sequence[str] = ("l2",)
    strategies: Sequence[str] = ("one-shot",)
    scopes: Sequence[str] = ("local",)
    targets: Sequence[str] = ()

    def __post_init__(self) -> None:
        for each in self.targets:
            read_target(each)

    def space(self) -> Space:
        """As samplers take it."""
        ratios = self.ratios if isinstance(self.ratios, Span) else tuple(self.ratios)
        return {
            **({"target": tuple(self.targets)} if self.targets else {"ratio": ratios}),
            "criterion": tuple(self.criteria),
            "strategy": tuple(self.strategies),
            "scope": tuple(self.scopes),
        }

    def document(self) -> dict[str, Any]:
        """As JSON values; `targets` are named where there are any."""
        return {
            **({"targets": list(self.targets)} if self.targets else {}),
            "ratios": self._ratios(),
            "criteria": list(self.criteria),
            "strategies": list(self.strategies),
            "scopes": list(self.scopes),
        }

    def _ratios(self) -> Any:
        if self.targets:
            return []
        if isinstance(self.ratios, Span):
            return {"from": self.ratios.low, "to": self.ratios.high, "step": self.ratios.step}
        return list(self.ratios)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is tried: `trials` in all processes together (None: every point of a grid, else 30).

    Each has `seeds` runs, of which the first has the seed `seed`. No run begins after `timeout` seconds.
    A trial that cannot lose at most `max_drop` points is stopped, looked at from seed `threshold_from` on.
    `stop_by` are the layers of early stopping that have a say.
    """

    trials: int | None = None
    seeds: int = 3
    seed: int = 0
    timeout: float | None = None
    max_drop: float | None = None
    threshold_from: int = SETTLED + 1
    stop_by: tuple[str, ...] = LAYERS

    def __post_init__(self) -> None:
        ranges = (
            ("trials", self.trials is None or self.trials >= 1, "at least 1"),
            ("seeds", self.seeds >= 1, "at least 1"),
            ("timeout", self.timeout is None or self.timeout > 0, "above 0"),
            ("max_drop", self.max_drop is None or self.max_drop >= 0, "at least 0"),
            ("threshold_from", self.threshold_from >= 1, "at least 1"),
        )
        check_ranges(self, ranges)
        for layer in self.stop_by:
            if layer not in LAYERS:
                raise unknown_name("layer", layer, LAYERS)

    def limit(self, space: SweepSpace, *, sampler: str) -> int:
        """Trials in all: no point is tried twice."""
        points = size(space.space())
        wanted = self.trials or (points if sampler == GRID else TRIALS)
        return min(wanted, points)


@dataclass(frozen=True, kw_only=True)
class StudyWish:
    """Where the trials are kept, and by what they are proposed (None: the grid, for a span of ratios tpe).

    `name` None is one that follows from everything that is asked, so that the same command goes on with its
    own study. A worker of another machine is lost after `lost_after` seconds of silence.
    """

    storage: str = STORAGE
    name: str | None = None
    sampler: str | None = None
    lost_after: float = LOST_AFTER

    def sampler_for(self, space: SweepSpace) -> str:
        """The sampler that was asked for, else the one that fits the space."""
        ordered = any(isinstance(values, Span) for values in space.space().values())
        return self.sampler or ("tpe" if ordered else GRID)
