"""Progress on standard error: a moving bar for a person, one line an epoch for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunecli.cli import output, streams
from prunecli.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group, RenderableType

_NOTHING: Mapping[str, float] = {}
_EPOCH = "epoch"
_LONGEST_BAR = 40
_WRITTEN = {_EPOCH: "epoch {:.0f}", "loss": "loss {:.4f}", "accuracy": "accuracy {:.2f}"}
"""Figures with as many digits at every time, so that what stands beside them does not jump."""


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """The listener for a command's work; a bar is taken down again whatever happens."""
    if quiet:
        yield silent
    elif streams.animated(sys.stderr):
        with _moving_bar() as bar:
            yield bar
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
        elif _counts_epochs(stage) and done > 0:
            written = [f"{name} {value:.4g}" for name, value in figures.items()]
            output.notes([" ".join([f"{stage} {done}/{total}", *written])])


@dataclass
class Stage:
    """Where one stage of the work stood when it was `told`; speed is taken since `begun`, at `first` done."""

    name: str
    done: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)
    epochs: int | None = None
    first: int = 0
    begun: float = 0.0
    told: float = 0.0

    def seconds_left(self) -> float | None:
        """None while nothing is known of the speed."""
        if self.done <= self.first:
            return None
        return (self.told - self.begun) / (self.done - self.first) * (self.total - self.done)

    def words(self) -> list[str]:
        """What stands behind the bar, the most telling first: time left, running figures, steps."""
        left = [] if self.done >= self.total else [_clock(self.seconds_left())]
        figures = [self._figure(name, value) for name, value in self.figures.items()]
        steps = f"{self.done}/{self.total}"
        return [*left, *figures, steps] if figures else [steps, *left]

    def _figure(self, name: str, value: float) -> str:
        if name == _EPOCH and self.epochs is not None:
            return f"epoch {value:.0f}/{self.epochs}"
        if name.endswith("/s"):
            return f"{value:,.0f} {name}"
        return _WRITTEN.get(name, f"{name} {{:.4g}}").format(value)


class MovingBar:
    """One bar a stage, running values such as the loss behind it; remarks stay above the bars.

    Where a stage tells the epoch that it is in, the stage that counts epochs has no bar of its own.
    """

    def __init__(self, console: Console) -> None:
        self.told: list[str] = []
        self._console = console
        self._stages: dict[str, Stage] = {}

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float] = _NOTHING) -> None:
        """Move the bar of `stage`."""
        if total == 0:
            self.told.append(stage)
            self._console.print(streams.printable(stage), markup=False, highlight=False, soft_wrap=True)
            return
        inside = next((each for each in self._stages.values() if _EPOCH in each.figures), None)
        if _counts_epochs(stage) and inside is not None:
            accuracy = {name: value for name, value in figures.items() if name == "accuracy"}
            inside.epochs, inside.figures = total, {**inside.figures, **accuracy}
            return
        known = self._stages.get(stage)
        now = time.monotonic()
        if known is None or done < known.done:
            known = Stage(streams.printable(stage), done, total, first=done, begun=now)
            self._stages[stage] = known
        known.done, known.total, known.told, known.figures = done, total, now, dict(figures)

    def lines(self) -> Group:
        """The bars as rich draws them."""
        from rich.console import Group

        return Group(*(_Line(stage) for stage in list(self._stages.values())))


@dataclass(frozen=True)
class _Line:
    """One bar, drawn into as many columns as there are at that time."""

    stage: Stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        name, bar, words = fitted(self.stage, options.max_width)
        yield Text(name, end=" " if bar else "\n", no_wrap=True)
        if bar:
            yield ProgressBar(total=self.stage.total, completed=self.stage.done, width=bar)
            yield Text(f" {words}" if words else "", no_wrap=True)


def fitted(stage: Stage, columns: int) -> tuple[str, int, str]:
    """Name, length of the bar and words that together fit into `columns`, a space between each two.

    Words are left out from the least telling on, then the bar, and the name is cut.
    """
    from rich.cells import cell_len, set_cell_size

    name = stage.name
    if cell_len(name) > columns // 2:
        name = set_cell_size(name, max(0, columns // 2 - 1)) + "…"
    room, shortest = columns - cell_len(name) - 1, min(12, max(3, columns // 6))
    if room < shortest:
        return name, 0, ""
    words = stage.words()
    while words and room - len(" ".join(words)) - 1 < shortest:
        words.pop()
    text = " ".join(words)
    bar = room - len(text) - 1 if text else room
    return name, min(bar, _LONGEST_BAR), text


@contextmanager
def _moving_bar() -> Iterator[MovingBar]:
    from rich.console import Console
    from rich.live import Live

    colours = "standard" if streams.coloured(sys.stderr) else None
    console = Console(file=sys.stderr, color_system=colours)  # type: ignore[arg-type]
    bar = MovingBar(console)
    with Live(
        get_renderable=bar.lines,
        console=console,
        transient=True,
        refresh_per_second=10,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield bar


def _clock(seconds: float | None) -> str:
    """Time left: 03:21, 1:03:21."""
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _counts_epochs(stage: str) -> bool:
    return stage.split()[-1:] == [_EPOCH]
