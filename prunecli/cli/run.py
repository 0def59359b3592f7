"""One run of the command line: from arguments to an exit code, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import typer

from prunecli.cli import output, streams
from prunecli.cli.app import application
from prunecli.cli.command import Session
from prunecli.cli.failures import Terminated, describe

_COMPLETION = "_PRUNECLI_COMPLETE"
_REPEATED_SECONDS = 1.0
_VERBOSE = re.compile(r"--verbose|-q*v[qv]*")


def run(arguments: Sequence[str]) -> int:
    """Run `prunecli` with `arguments`; the exit code is one of the table in the documentation."""
    _steady_streams()
    group = typer.main.get_command(application())
    if os.environ.get(_COMPLETION):
        group.main(list(arguments), prog_name="prunecli", complete_var=_COMPLETION)
        return 0
    session = Session(verbose=any(_VERBOSE.fullmatch(word) for word in arguments))
    with warnings.catch_warnings(), _termination():
        warnings.simplefilter("default" if session.verbose else "ignore")
        try:
            return _called(group, list(arguments), session)
        except BaseException as error:
            if isinstance(error, OSError):
                streams.abandon()
            return _told(error, verbose=session.verbose)


def _called(group: Any, arguments: list[str], session: Session) -> int:
    """Parse and run; without arguments the help is shown, and that is wrong use all the same."""
    if not arguments:
        with group.make_context("prunecli", [], resilient_parsing=True) as context:
            output.emit(group.get_help(context) + "\n", sys.stdout)
        return 2
    try:
        with group.make_context("prunecli", arguments, obj=session) as context:
            group.invoke(context)
    except typer.Exit as finished:
        return finished.exit_code
    return 0


def _told(error: BaseException, *, verbose: bool) -> int:
    """Say what failed: one line and its hints, under a traceback when that was asked for."""
    failure = describe(error)
    if failure.lines:
        if verbose:
            output.notes("".join(traceback.format_exception(error)).splitlines())
        first, *hints = failure.lines
        output.notes([f"error: {first}", *(f"  {hint}" for hint in hints)])
    return failure.exit_code


def _steady_streams() -> None:
    """Text that the locale cannot say is escaped; a closed descriptor is not given to the next file."""
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _termination() -> Iterator[None]:
    """SIGTERM unwinds the stack like Ctrl-C does, so that nothing half-written stays behind."""
    last = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if not before:
            raise Terminated
        if last - before > _REPEATED_SECONDS:
            os._exit(128 + number)

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs us there minds the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
