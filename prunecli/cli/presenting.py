"""From a workflow to the screen: run it, tell its notes, show its result, then let a missed gate speak."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from prunecli.cli import output
from prunecli.cli.gathering import Manner, resuming_line
from prunecli.cli.progress_bar import progress_bar
from prunecli.errors import GateNotMet, Interrupted, WorkFailed
from prunecli.progress import Progress

if TYPE_CHECKING:
    from prunecli.cli.output import PageOf


class Result(Protocol):
    """What every workflow returns."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for standard error."""

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""


R = TypeVar("R", bound=Result)


def present(
    command: str,
    work: Callable[[Progress], R],
    *,
    pages: PageOf,
    manner: Manner,
    destination: str | None = None,
    instead: Callable[[R], str | None] = lambda _: None,
    following: Callable[[dict[str, Any]], str | None] = lambda _: None,
) -> None:
    """Run `work` and show what comes of it.

    `destination` is the output as given, `instead` a text that standard output gets in place of the result,
    `following` the next command to suggest. A result that misses a gate (its `gate`, or the `result` of a
    GateNotMet) is shown before the gate is raised.
    """
    _collect_from_now_on()
    quiet, piped = manner.quiet, destination == "-"
    gate: GateNotMet | None = None
    with progress_bar(quiet=quiet) as progress, _stdout_kept_clean(piped=piped):
        try:
            found = work(progress)
        except GateNotMet as missed:
            if getattr(missed, "result", None) is None:
                raise
            gate, found = missed, missed.result  # type: ignore[attr-defined]
        except Interrupted as stopped:
            if stopped.kept is None:
                raise
            raise stopped.told([f"to go on: {resuming_line(stopped.kept)}"]) from None
        except BrokenPipeError:
            raise WorkFailed("whoever reads standard output went away before all was written") from None
    document = found.document()
    if not quiet:
        told = getattr(progress, "told", ())
        output.notes(note for note in found.notes if note not in told)
    text = instead(found)
    if text is None:
        output.result(command, document, pages=pages, manner=manner.format, piped=piped)
    else:
        output.emit(text, sys.stdout)
    gate = gate or getattr(found, "gate", None)
    if gate is not None:
        raise gate
    suggestion = None if text is not None else following(document)
    if suggestion and not quiet and not piped:
        output.notes([f"next: {suggestion}"])


def _collect_from_now_on() -> None:
    """What was imported until now stays, and is not looked through; the work's own garbage goes."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _stdout_kept_clean(*, piped: bool) -> Iterator[None]:
    """Third-party prints go to standard error: only the result belongs on standard output.

    Not where the workflow itself writes a checkpoint to standard output.
    """
    if piped or sys.stderr is None:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
