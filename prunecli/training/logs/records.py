"""What logs are told of a training, and under which names figures are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prunecli.training.settings import EpochRecord

_EPOCH_NAMES = {
    "train_loss": "epoch/train_loss",
    "loss": "validation/loss",
    "accuracy": "validation/accuracy",
    "lr": "epoch/lr",
    "seconds": "epoch/seconds",
    "images_per_second": "epoch/images_per_second",
}
_PLACES = ("epoch", "step")


class TrainingLog(Protocol):
    """One log. `start` comes first, `finish` last; a training that breaks off closes without `finish`."""

    def start(self, facts: Mapping[str, Any]) -> None:
        """Open the log; `facts` are JSON values such as settings, data and, when resumed, `step`."""

    def step(self, figures: Mapping[str, float]) -> None:
        """Figures while training: `step` counts from 1 over all epochs, `epoch` from 1; loss, lr, ..."""

    def epoch(self, record: EpochRecord) -> None:
        """One finished epoch."""

    def finish(self, facts: Mapping[str, Any]) -> None:
        """The training came to its end; `facts` are JSON values such as `best`, `before` and `after`."""

    def close(self) -> None:
        """Give everything back; safe to call twice."""


def epoch_figures(record: EpochRecord) -> dict[str, Any]:
    """The record as JSON values, its epoch counted from 1 as in the documents."""
    return {**asdict(record), "epoch": record.epoch + 1}


def step_scalars(figures: Mapping[str, float]) -> dict[str, float]:
    """The finite figures of a step by the names under which they are drawn: `train/loss`, `train/lr`."""
    return finite({f"train/{name}": value for name, value in figures.items() if name not in _PLACES})


def epoch_scalars(record: EpochRecord) -> dict[str, float]:
    """The finite figures of an epoch by the names under which they are drawn."""
    figures = asdict(record)
    return finite(
        {_EPOCH_NAMES.get(name, f"epoch/{name}"): figures[name] for name in figures if name not in _PLACES}
    )


def result_scalars(facts: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among the facts of the end: `result/after/accuracy`."""
    return finite({f"result/{name}": value for name, value in flat(facts, between="/").items()})


def finite(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers; no kind of chart has a place for others."""
    return {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def flat(facts: Mapping[str, Any], *, between: str) -> dict[str, Any]:
    """Nested facts with one name each: {"settings": {"lr": 0.1}} is {"settings.lr": 0.1} for a dot."""
    return dict(_leaves(facts, "", between))


def _leaves(facts: Mapping[str, Any], before: str, between: str) -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}{between}", between)
        else:
            yield f"{before}{name}", value
