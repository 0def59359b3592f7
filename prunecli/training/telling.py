"""What is told while training goes on: to whoever watches the progress, and to the logs that are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prunecli.progress import Progress
from prunecli.training.logs import Logs
from prunecli.training.settings import EpochRecord

_SECONDS_BETWEEN_REPORTS = 0.2
_SECONDS_BETWEEN_LOG_LINES = 1.0


class Telling:
    """Tells steps now and then, and every epoch."""

    def __init__(self, progress: Progress, logs: Logs) -> None:
        self._progress = progress
        self._logs = logs
        self._told = self._logged = time.perf_counter()

    @property
    def run(self) -> str:
        """The name of the training in logs."""
        return self._logs.run

    def due(self) -> bool:
        """Whether it is time for another word about the steps."""
        return time.perf_counter() - self._told > _SECONDS_BETWEEN_REPORTS

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """`done` of `total` steps are done; `figures` are epoch and step (from 1), lr, loss and speed."""
        self._told = now = time.perf_counter()
        shown = {"epoch": figures["epoch"], "loss": figures["loss"]}
        if "accuracy" in figures:
            shown["accuracy"] = figures["accuracy"]
        self._progress("train", done, total, {**shown, "images/s": figures["images_per_second"]})
        if now - self._logged > _SECONDS_BETWEEN_LOG_LINES:
            self._logged = now
            self._logs.step({name: value for name, value in figures.items() if name != "accuracy"})

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """An epoch of `epochs` is done."""
        figures = {"loss": record.loss, "accuracy": record.accuracy}
        self._progress("epoch", record.epoch + 1, epochs, figures)
        self._logs.epoch(record)
