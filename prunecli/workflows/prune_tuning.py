"""Tuning a strategy that goes block by block: its values are chosen in rehearsals on a few images.

Hu et al. 2025 (arXiv:2505.07411) search the same grid, and minimise time / m + fall / m with m the larger of
seconds and points. Seconds are always the larger, so that is 1 + fall / time, and a slower trial is the
better one. Here each is compared with what it is in the worst case:

    J = w · fall / fall without any training + (1 − w) · seconds / seconds with training everywhere
"""

from __future__ import annotations

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
from prunecli.strategies.procedures.rehearsal import Rehearsal
from prunecli.strategies.schedules import BLOCKS
from prunecli.training.resuming import read_run
from prunecli.workflows.procedure import Procedure

# Section 4 of the paper, for residual networks on CIFAR-10.
GRID: Space = {
    "drop": (0.5, 1.5),
    "freeze_share": (0.3, 0.9),
    "rate_base": (0.001, 0.005),
    "rate_midpoint": (0.1, 0.15, 0.2),
    "rate_steepness": (40.0, 50.0, 60.0),
    "rate_fall": (0.0006, 0.0007, 0.0008),
}
LEAST_FALL = 1.0  # points: a network that loses nothing leaves nothing to divide by


@dataclass(frozen=True, kw_only=True)
class TuningRequest:
    """What is asked of the tuning: so many `trials` on a `share` of the images, `weight` for accuracy.

    Raises WrongUse for a value out of range.
    """

    trials: int = 6
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
        if not _space(parts, wishes):
            raise WrongUse("nothing is left to tune: every value was given", hints=["leave one out"])
        if current().count > 1:
            raise WrongUse(
                "tuning runs in one process",
                hints=["tune in one, then give its values: --trigger, --freeze-share, --rate-base …"],
            )


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """The values that were `chosen`, what was tried, and the seconds that it took.

    `trials` are empty for values that an earlier run had chosen before it was interrupted.
    """

    chosen: Mapping[str, Value]
    trials: tuple[Mapping[str, Any], ...]
    seconds: float

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
    parts = task.made_of()
    rehearsal = Rehearsal(task, share=request.share)
    least = max(LEAST_FALL, rehearsal.untrained(len(rehearsal.plans) - 1)[0])
    most = rehearsal.every_stop(parts)
    trials: list[dict[str, Any]] = []
    best = float("inf")

    def objective(values: Mapping[str, Value]) -> float:
        nonlocal best

        def enough(seconds: float) -> None:
            if (1 - request.weight) * seconds / most > best:
                raise Abandoned("it takes longer than the best one is worth")

        shown: dict[str, Any] = {"values": dict(values), "fall": None, "seconds": None, "objective": None}
        trials.append(shown)
        found = rehearsal.go(PartWishes(**values).on(parts), enough=enough)  # type: ignore[arg-type]
        figure = request.weight * found.fall / least + (1 - request.weight) * found.seconds / most
        shown.update(fall=found.fall, seconds=found.seconds, objective=figure)
        best = min(best, figure)
        return figure

    tuned = minimise(
        objective,
        _space(parts, wishes),
        sampler="grid",
        trials=request.trials,
        seed=task.seed,
        progress=progress,
    )
    chosen = {} if tuned.best is None else dict(tuned.best.values)
    result = TuningResult(chosen=chosen, trials=tuple(trials), seconds=time.perf_counter() - start)
    remark(progress, [result.words])
    return result


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
