"""What each exception means to a user: an exit code, one line, and at most three lines of help."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import typer

from prunecli.cli import usage
from prunecli.errors import MAX_HINTS, Interrupted, PrunecliError, is_out_of_memory

_USAGE = typer.BadParameter.mro()[1]  # UsageError, which typer itself does not export


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; work that cleans up after Ctrl-C cleans up after this as well."""


@dataclass(frozen=True)
class Failure:
    """How a run ended; no lines, no word about it."""

    exit_code: int
    lines: tuple[str, ...] = ()


def describe(error: BaseException) -> Failure:
    """The exit code and the lines of any exception that reached the top."""
    return _ours(error) or _stopped(error) or _resources(error) or _internal(error)


def _ours(error: BaseException) -> Failure | None:
    """What prunecli or typer said on purpose."""
    if isinstance(error, PrunecliError):
        terminated = isinstance(error, Interrupted) and _caused_by_termination(error)
        return _failure(143 if terminated else error.exit_code, error.message, *error.hints)
    if isinstance(error, _USAGE):
        return _failure(2, *usage.explain(error))
    return None


def _stopped(error: BaseException) -> Failure | None:
    """Somebody stopped the run, or walked away from its output."""
    if isinstance(error, Terminated):
        return _failure(143, "terminated")
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _failure(130, "interrupted")
    if isinstance(error, SystemExit):
        return Failure(error.code if isinstance(error.code, int) else 4 * bool(error.code))
    if isinstance(error, BrokenPipeError):  # of help or version: the reader has what it wanted
        return Failure(0)
    return None


def _resources(error: BaseException) -> Failure | None:
    """Memory or disk ran out."""
    if is_out_of_memory(error):
        return _failure(4, "out of memory", "a smaller --batch-size or --input-shape needs less")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _failure(4, f"no space left on the disk for {error.filename or 'the output'}")
    return None


def _internal(error: BaseException) -> Failure:
    """A fault of prunecli's own, or of what it stands on."""
    said, kind = " ".join(str(error).split()), type(error).__name__
    return _failure(
        4,
        f"internal error: {kind}: {said}" if said else f"internal error: {kind}",
        "run the same again with --verbose for a traceback, and report it",
    )


def _failure(exit_code: int, message: str, *hints: str) -> Failure:
    return Failure(
        exit_code, (" ".join(message.split()), *(" ".join(hint.split()) for hint in hints[:MAX_HINTS]))
    )


def _caused_by_termination(error: BaseException) -> bool:
    return isinstance(error.__cause__, Terminated) or isinstance(error.__context__, Terminated)
