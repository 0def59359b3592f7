"""Tuning a strategy that goes block by block: its values are chosen in rehearsals on a few images.

Hu et al. 2025 (arXiv:2505.07411) search another grid for every network, and minimise time / m + fall / m with
m the larger of seconds and points. Seconds are always the larger, so that is 1 + fall / time, and a slower
trial is the better one. Here all their values are searched, and each term is compared with what it is in the
worst case:

    J = w · fall / fall without any training + (1 − w) · seconds / seconds with training everywhere

A fall below nothing counts as none: on a few images that is chance. A trial is a point of the `GRID`,
rehearsed with all `DROPS` at once: their ways are the same until a fall lies between two of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from prunecli.errors import WrongUse, check_ranges
from prunecli.processes import current
from prunecli.progress import Progress, remark
from prunecli.search import Abandoned, Space, Value, minimise, needed
from prunecli.strategies.contract import PruningTask
from prunecli.strategies.diary import read_standing
from prunecli.strategies.parts import DROP, Parts, PartWishes
from prunecli.strategies.procedures.freezing_trial import FreezingTrial
from prunecli.strategies.procedures.rehearsal import Rehearsal, Rehearsed
from prunecli.strategies.schedules import BLOCKS
from prunecli.training.resuming import read_run
from prunecli.workflows.procedure import Procedure

# The values that the paper and its code have for any network: residual ones on CIFAR-10, DenseNet-121 on Tiny
# ImageNet, WRN-101-2 on ImageNet.
GRID: Space = {
    "freeze_share": (0.2, 0.3, 0.5, 0.9),
    "rate_base": (0.001, 0.005),
    "rate_midpoint": (0.1, 0.15, 0.2),
    "rate_steepness": (40.0, 50.0, 60.0),
    "rate_fall": (0.0006, 0.0007, 0.0008),
}
DROPS = (0.5, 1.5, 5.0, 7.0, 9.0, 10.0)
"""What every point of the grid is rehearsed with; those of the paper as well."""
LEAST_FALL = 1.0  # points: a network that loses nothing leaves nothing to divide by


@dataclass(frozen=True, kw_only=True)
class TuningRequest:
    """What is asked of the tuning: so many `trials` on a `share` of the images, `weight` for accuracy.

    The paper has 6 trials; each of these is rehearsed with six drops.
    Raises WrongUse for a value out of range.
    """

    trials: int = 3
    share: float = 0.02
    weight: float = 0.5

    def __post_init__(self) -> None:
        ranges = (
            ("trials", self.trials >= 1, "at least 1"),
            ("share", 0 < self.share <= 1, "above 0, up to 1"),
            ("weight", 0 <= self.weight <= 1, "from 0 to 1"),
        )
        check_ranges(self, ranges)

    def check(self, procedure: Procedure) -> None:
        """Raise WrongUse where there is nothing to tune, before any work."""
        needed()
        parts, wishes = procedure.parts, procedure.wishes
        if procedure.cut_only:
            raise WrongUse("where nothing is trained, nothing is tuned", hints=["leave --auto-tune out"])
        if parts is None or parts.schedule != BLOCKS or parts.trigger != DROP:
            raise WrongUse(
                "only what goes block by block and trains after a drop is tuned",
                hints=["take --strategy ice"],
            )
        if not _space(parts, wishes) and wishes.drop is not None:
            raise WrongUse("nothing is left to tune: every value was given", hints=["leave one out"])
        if current().count > 1:
            raise WrongUse(
                "tuning runs in one process",
                hints=["tune in one, then give its values: --trigger, --freeze-share, --rate-base …"],
            )


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """The values that were `chosen`, what was tried, and the seconds that it took.

    `trials` are empty for values that an earlier run had chosen before it was interrupted. `trial` is that of
    the freezing, which the run need not make again.
    """

    chosen: Mapping[str, Value]
    trials: tuple[Mapping[str, Any], ...]
    seconds: float
    trial: FreezingTrial | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "trials": [dict(each) for each in self.trials],
            "chosen": dict(self.chosen),
            "seconds": self.seconds,
        }

    @property
    def words(self) -> str:
        """What was chosen, in a line."""
        return "tuned: " + ", ".join(f"{name} {value:g}" for name, value in self.chosen.items())


def tune(task: PruningTask, request: TuningRequest, wishes: PartWishes, progress: Progress) -> TuningResult:
    """Choose the values that nobody asked for by rehearsals of `task`; its network stays as it is.

    The same seed tries the same points. Seconds are part of the objective, so which of them is chosen may
    depend on the machine.
    """
    start = time.perf_counter()
    rehearsals = _Rehearsals(task, request, wishes)
    space = _space(task.made_of(), wishes)
    if space:
        minimise(
            rehearsals.figure,
            space,
            sampler="grid",
            trials=request.trials,
            seed=task.seed,
            progress=progress,
        )
    else:
        rehearsals.figure({})
    result = TuningResult(
        chosen=dict(rehearsals.best),
        trials=tuple(rehearsals.trials),
        seconds=time.perf_counter() - start,
        trial=rehearsals.rehearsal.trial,
    )
    remark(progress, [result.words])
    return result


class _Rehearsals:
    """The trials of a tuning so far: `best` are the values with the lowest figure, which is `lowest`."""

    def __init__(self, task: PruningTask, request: TuningRequest, wishes: PartWishes) -> None:
        self.parts, self.weight = task.made_of(), request.weight
        self.rehearsal = Rehearsal(task, share=request.share)
        self.drop = wishes.drop
        unmended, _ = self.rehearsal.untrained(len(self.rehearsal.plans) - 1)
        self.least = max(LEAST_FALL, unmended)
        self.trials: list[dict[str, Any]] = []
        self.best: Mapping[str, Value] = {}
        self.lowest = math.inf
        self.way: Rehearsed | None = None

    def figure(self, values: Mapping[str, Value]) -> float:
        """The lowest objective of a point over the drops; raises Abandoned where no way was ended."""
        shown: dict[str, Any] = {"values": dict(values), "fall": None, "seconds": None, "objective": None}
        self.trials.append(shown)
        ways = self.rehearsal.ways(
            PartWishes(**values).on(self.parts),  # type: ignore[arg-type]
            drops=DROPS if self.drop is None else (self.drop,),
            enough=self._out_of_question,
        )
        lowest = math.inf
        for way in ways:
            figure = self._objective(way.fall, way.seconds)
            if figure >= lowest:
                continue
            lowest = figure
            shown.update(
                values=dict(values) if self.drop is not None else {"drop": way.drop, **values},
                fall=way.fall,
                seconds=way.seconds,
                objective=figure,
            )
            if figure < self.lowest:
                self.lowest, self.best, self.way = figure, shown["values"], way
        if math.isinf(lowest):
            raise Abandoned("another one is better and takes less time")
        return lowest

    def _out_of_question(self, fall: float, seconds: float) -> bool:
        """Whether a way is worse than the best in both terms, or takes longer than any fall makes good."""
        if self.way is None:
            return False
        worse = fall >= self.way.fall and seconds >= self.way.seconds
        return worse or self._objective(0.0, seconds) > self.lowest

    def _objective(self, fall: float, seconds: float) -> float:
        own = max(0.0, fall) / self.least
        return self.weight * own + (1 - self.weight) * seconds / self.rehearsal.most


def chosen_before(folder: str | None) -> TuningResult | None:
    """What the run that is kept in `folder` had chosen, None for no run; it goes on with the same values."""
    if folder is None:
        return None
    noted, run = read_standing(folder), read_run(folder)
    origin = noted[1] if noted is not None else run[1] if run is not None else {}
    chosen = origin.get("tuned")
    return None if chosen is None else TuningResult(chosen=chosen, trials=(), seconds=0.0)


def with_values(wishes: PartWishes, chosen: Mapping[str, Value]) -> PartWishes:
    """The wishes with the values that were chosen."""
    return replace(wishes, **chosen)  # type: ignore[arg-type]


def _space(parts: Parts, wishes: PartWishes) -> dict[str, Any]:
    """The grid without what was asked for, and without what the parts do not read."""
    found = {name: values for name, values in GRID.items() if getattr(wishes, name) is None}
    if parts.recovery.rate == "fixed":
        found = {name: values for name, values in found.items() if not name.startswith("rate_")}
    return found
