"""How long work reports where it stands, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Progress(Protocol):
    """Called as work advances; the command line draws a bar from it, a library user may pass `silent`."""

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float] = ...) -> None:
        """`done` of `total` steps of `stage` are finished; `figures` are running values such as the loss.

        A stage of no steps is a remark: `stage` says in words what was decided.
        """


def silent(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """The listener that says nothing."""


def remark(progress: Progress, lines: Iterable[str]) -> None:
    """Tell the listener in words what was decided, as soon as it is."""
    for line in lines:
        progress(line, 0, 0, {})
