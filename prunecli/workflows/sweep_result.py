"""What a sweep gives back: its trials, the front of accuracy against MACs, and what early stopping saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from prunecli.errors import GateNotMet
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.search.front import pareto_front
from prunecli.search.space import Value
from prunecli.search.stopping import LAYERS
from prunecli.search.trials import COMPLETE, FAILED, STOPPED, Record
from prunecli.workflows.sweep_trials import mean_accuracy, mean_macs


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial; `accuracy` is the trimmed mean of the `accuracies` of its seeds on the validation part.

    `spread` is their standard deviation. `stopped` says which layer, why, and what it saved; `failed` why a
    trial broke down. `command` makes the first seed's network again.
    """

    number: int
    state: str
    values: Mapping[str, Value]
    accuracies: tuple[float, ...]
    accuracy: float | None
    spread: float | None
    macs: int | None
    params: int | None
    epochs: int | None
    seconds: float
    stopped: Mapping[str, Any] | None
    failed: str | None
    command: str

    @classmethod
    def of(cls, record: Record, command: str) -> TrialRow:
        """A study's record, in figures."""
        runs, end = record.runs, record.end or {}
        found = tuple(run["accuracy"] for run in runs)
        return cls(
            number=record.number,
            state=record.state,
            values=record.values,
            accuracies=found,
            accuracy=mean_accuracy(runs) if runs else None,
            spread=stdev(found) if len(found) > 1 else None,
            macs=round(mean_macs(runs)) if runs else None,
            params=round(sum(run["params"] for run in runs) / len(runs)) if runs else None,
            epochs=runs[0]["epochs"] if runs else None,
            seconds=sum(run["seconds"] for run in runs),
            stopped=end if record.state == STOPPED else None,
            failed=end.get("reason") if record.state == FAILED else None,
            command=command,
        )

    @property
    def seeds(self) -> int:
        """How many of them were run."""
        return len(self.accuracies)

    @property
    def complete(self) -> bool:
        """Whether all its seeds were run."""
        return self.state == COMPLETE

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "number": self.number,
            "state": self.state,
            "values": dict(self.values),
            "seeds": self.seeds,
            "accuracy": {
                "validation": self.accuracy,
                "spread": self.spread,
                "seeds": list(self.accuracies),
            },
            "macs": self.macs,
            "params": self.params,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "stopped": None if self.stopped is None else dict(self.stopped),
            "failed": self.failed,
            "command": self.command,
        }


@dataclass(frozen=True, kw_only=True)
class SweepResult(ShownInNotebooks, command="sweep"):
    """A sweep as far as it has come, in all processes together.

    `dense` are the figures of the network before pruning, `asked` the space and the limits, `study` where the
    trials are kept. `best` is the number of the trial that was chosen, `chosen` what its network, made again,
    came to on the test part, and `gate` a gate that was missed.
    """

    checkpoint: Mapping[str, Any]
    data: str
    asked: Mapping[str, Any]
    dense: Mapping[str, Any]
    trials: Sequence[TrialRow]
    study: Mapping[str, Any]
    max_drop: float | None
    chosen: Mapping[str, Any] | None
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]
    gate: GateNotMet | None = None

    @property
    def front(self) -> tuple[TrialRow, ...]:
        """The complete trials that no other dominates, by rising MACs."""
        return front_of(self.trials)

    @property
    def best(self) -> TrialRow | None:
        """The trial that is taken where nothing else is said."""
        return best_of(self.trials, dense=self.dense["accuracy"], max_drop=self.max_drop)

    def document(self) -> dict[str, Any]:
        """The JSON of `sweep`."""
        best = self.best
        return {
            "checkpoint": dict(self.checkpoint),
            "data": self.data,
            "study": dict(self.study),
            **self.asked,
            "dense": dict(self.dense),
            "trials": [trial.document() for trial in self.trials],
            "front": [trial.number for trial in self.front],
            "best": None if best is None else best.number,
            "saved": saved(self.trials),
            "seconds": sum(trial.seconds for trial in self.trials),
            "chosen": None if self.chosen is None else dict(self.chosen),
            "output": None if self.output is None else dict(self.output),
        }


def front_of(trials: Sequence[TrialRow]) -> tuple[TrialRow, ...]:
    """The complete trials that no other one dominates in accuracy and MACs, by rising MACs."""
    done = [each for each in trials if each.complete]
    points = [(each.accuracy or 0.0, float(each.macs or 0)) for each in done]
    return tuple(done[place] for place in pareto_front(points))


def best_of(trials: Sequence[TrialRow], *, dense: float, max_drop: float | None) -> TrialRow | None:
    """The cheapest trial that loses no more than `max_drop` points; without a limit the most accurate one."""
    front = front_of(trials)
    if max_drop is not None:
        return next((each for each in front if dense - (each.accuracy or 0.0) <= max_drop), None)
    return max(front, key=lambda each: each.accuracy or 0.0, default=None)


def saved(trials: Sequence[TrialRow]) -> dict[str, Any]:
    """The seconds that early stopping saved, over how many trials, and how many of them by which layer."""
    stopped = [each.stopped for each in trials if each.stopped is not None]
    return {
        "seconds": sum(each["seconds_saved"] for each in stopped),
        "trials": len(stopped),
        "layers": {layer: sum(each["layer"] == layer for each in stopped) for layer in LAYERS},
    }
