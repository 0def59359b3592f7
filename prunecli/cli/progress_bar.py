"""Progress on standard error: a moving bar for a person, one line an epoch for a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prunecli.cli import output, streams
from prunecli.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_NOTHING: Mapping[str, float] = {}
_EPOCH = "epoch"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """The listener for a command's work; a bar is taken down again whatever happens."""
    if quiet:
        yield silent
    elif streams.animated(sys.stderr):
        with _bar() as bar:
            yield MovingBar(bar)
    else:
        yield LogLines()


class LogLines:
    """One line for each remark and each finished epoch, such as `epoch 3/10 loss 0.41 accuracy 93.1`."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float] = _NOTHING) -> None:
        """Write the line, if there is one."""
        if total == 0:
            self.told.append(stage)
            output.notes([stage])
        elif stage.split()[-1:] == [_EPOCH] and done > 0:
            output.notes([" ".join([f"{stage} {done}/{total}", *_written(figures)])])


class MovingBar:
    """One bar a stage, running values such as the loss behind it; remarks stay above the bars."""

    def __init__(self, bar: Bar) -> None:
        self.told: list[str] = []
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float] = _NOTHING) -> None:
        """Move the bar of `stage`."""
        if total == 0:
            self.told.append(stage)
            self._bar.console.print(streams.printable(stage), markup=False, highlight=False, soft_wrap=True)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(streams.printable(stage), total=total, figures="")
        self._bar.update(
            self._tasks[stage], completed=done, total=total, figures=" ".join(_written(figures or _NOTHING))
        )


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(file=sys.stderr, color_system="standard" if streams.coloured(sys.stderr) else None),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _written(figures: Mapping[str, float]) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in figures.items()]
