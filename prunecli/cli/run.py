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
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from prunecli import interruption, processes
from prunecli.cli import output, streams
from prunecli.cli.app import COMMANDS, application
from prunecli.cli.command import Session
from prunecli.cli.failures import Terminated, describe
from prunecli.errors import GateNotMet, InputRefused, Interrupted, WrongUse

_COMPLETION = "_PRUNECLI_COMPLETE"
_REPEATED_SECONDS = 1.0
# What every process finds alike; the main one says it.
_SAID_BY_ALL = (GateNotMet, WrongUse, InputRefused, Interrupted)
# The commands that several processes do together; the others are done by the main one alone.
_SHARED = frozenset({"score", "compare", "prune", "finetune", "evaluate"})
_VERBOSE = re.compile(r"--verbose|-q*v[qv]*")


def run(arguments: Sequence[str]) -> int:
    """Run `prunecli` with `arguments`; the exit code is one of the table in the documentation."""
    _steady_streams()
    group = typer.main.get_command(_application(arguments))
    if os.environ.get(_COMPLETION):
        group.main(list(arguments), prog_name="prunecli", complete_var=_COMPLETION)
        return 0
    if not processes.is_main() and not _shared(arguments):
        return 0
    session = Session(verbose=any(_VERBOSE.fullmatch(word) for word in arguments))
    with warnings.catch_warnings(), _signals_minded(), _among_processes():
        warnings.simplefilter("default" if session.verbose else "ignore")
        try:
            code = _called(group, list(arguments), session)
            processes.leave()
        except BaseException as error:
            if isinstance(error, OSError):
                streams.abandon()
            code = _told(error, verbose=session.verbose)
    return code


def _application(arguments: Sequence[str]) -> typer.Typer:
    """The command line with no more options than this call can ask for; the shell may ask for any."""
    if os.environ.get(_COMPLETION):
        return application()
    if arguments and arguments[0] in COMMANDS:
        return application(arguments[0])
    return application(listed=not any(word in COMMANDS for word in arguments))


def _shared(arguments: Sequence[str]) -> bool:
    """Whether all processes that a launcher started have a part in this command."""
    return any(word in _SHARED for word in arguments[:1])


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
    index, _ = processes.launched()
    if failure.lines and not (index and isinstance(error, _SAID_BY_ALL)):
        if verbose:
            output.notes("".join(traceback.format_exception(error)).splitlines())
        first, *hints = failure.lines
        origin = f"process {index}: " if index else ""
        with contextlib.redirect_stderr(sys.__stderr__ if index else sys.stderr):
            output.notes([f"error: {origin}{first}", *(f"  {hint}" for hint in hints)])
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
def _among_processes() -> Iterator[None]:
    """Under a launcher only the main process speaks."""
    with contextlib.ExitStack() as held:
        if not processes.is_main():
            nowhere = held.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            held.enter_context(contextlib.redirect_stdout(nowhere))
            held.enter_context(contextlib.redirect_stderr(nowhere))
        yield


@contextlib.contextmanager
def _signals_minded() -> Iterator[None]:
    """Ctrl-C and SIGTERM let a training finish its step; other work, and a second signal, ends at once.

    SIGTERM unwinds the stack like Ctrl-C does, so that nothing half-written stays behind.
    """
    last, unwinding = 0.0, False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last, unwinding
        before, last = last, time.monotonic()
        if interruption.note(number):
            return
        if before and last - before <= _REPEATED_SECONDS:  # one wish that came by two ways
            return
        if unwinding:
            os._exit(128 + number)
        unwinding = True
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    minded = (signal.SIGINT, signal.SIGTERM)
    try:
        previous = [signal.signal(number, stop) for number in minded]
    except ValueError:  # not the main thread: whoever runs us there minds the signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(minded, previous, strict=True):
            signal.signal(number, handler)
