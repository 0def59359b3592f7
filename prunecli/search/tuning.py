"""A search in memory: the point of a space at which a function is lowest, within so many trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunecli.errors import WrongUse
from prunecli.progress import Progress, silent
from prunecli.search.samplers import check_sampler
from prunecli.search.space import Space, Value, check_space, size
from prunecli.search.study import open_study


class Abandoned(Exception):
    """Raised by an objective: this point is no candidate, for the reason that is said."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One point: its `figure` (lower is better), or why it was `abandoned`."""

    values: Mapping[str, Value]
    figure: float | None
    seconds: float
    abandoned: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "values": dict(self.values),
            "figure": self.figure,
            "seconds": self.seconds,
            "abandoned": self.abandoned,
        }


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The trials in their order, and the first of the lowest; None when all were abandoned."""

    trials: tuple[Tried, ...]
    best: Tried | None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "trials": [each.document() for each in self.trials],
            "best": None if self.best is None else self.best.document(),
        }


def minimise(
    objective: Callable[[Mapping[str, Value]], float],
    space: Space,
    *,
    sampler: str = "tpe",
    trials: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Tuned:
    """Try `trials` points of `space`, none twice, or all that there are if those are fewer.

    A figure that is not finite, or `Abandoned`, ends that trial alone; any other exception passes through.
    Raises WrongUse for an unknown sampler, an empty space, no trials, and where optuna is missing.
    """
    check_sampler(sampler)
    check_space(space)
    if trials < 1:
        raise WrongUse(f"trials cannot be {trials}", hints=["valid: at least 1"])
    limit = min(trials, size(space))
    study = open_study(space, sampler=sampler, seed=seed, directions=("minimise",))
    found: list[Tried] = []
    while (taken := study.take(limit)) is not None:
        tried = _tried(objective, taken.values)
        if tried.figure is None:
            taken.stop({"reason": tried.abandoned})
        else:
            taken.finish((tried.figure,))
        found.append(tried)
        figures = {} if tried.figure is None else {"figure": tried.figure}
        progress("tuning", len(found), limit, figures)
    candidates = [each for each in found if each.figure is not None]
    best = min(candidates, key=lambda each: each.figure or 0.0, default=None)
    return Tuned(trials=tuple(found), best=best)


def _tried(objective: Callable[[Mapping[str, Value]], float], values: Mapping[str, Value]) -> Tried:
    """One point, tried."""
    start = time.perf_counter()
    figure: float | None = None
    reason: str | None = None
    try:
        figure = float(objective(values))
        if not math.isfinite(figure):
            figure, reason = None, f"the figure is {figure}"
    except Abandoned as abandoned:
        reason = str(abandoned)
    return Tried(values=dict(values), figure=figure, seconds=time.perf_counter() - start, abandoned=reason)
