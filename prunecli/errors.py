"""Errors that end a command: one line, at most three lines of help, and an exit code.

The exit codes are fixed: 1 a gate was not met, 2 wrong use, 3 the input was refused, 4 the work
failed, 130 interrupted.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

MAX_HINTS = 3
# torch's allocator on the CPU, the system, C++, and oneDNN, which says no more than what it could not make.
_MEMORY_WORDS = (
    *("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory"),
    *("bad_alloc", "could not create a primitive", "could not create a memory object"),
)


class PrunecliError(Exception):
    """A failure that a user can act on.

    `message` is one line without a full stop; `hints` are at most three lines: what was given, what
    is valid, what to type next.
    """

    exit_code = 4

    def __init__(self, message: str, *, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)[:MAX_HINTS]


class GateNotMet(PrunecliError):
    """A gate that the command line asked for was not met, or nothing could be pruned."""

    exit_code = 1


class WrongUse(PrunecliError):
    """An option, a name or an output that cannot be; raised before any work."""

    exit_code = 2


class InputRefused(PrunecliError):
    """The input is missing, unreadable, unsafe to open, unknown or does not fit."""

    exit_code = 3


class WorkFailed(PrunecliError):
    """The work itself failed: memory, disk, a loss that is not finite, an unproved cut."""

    exit_code = 4


class Interrupted(PrunecliError):
    """Stopped by the user with `signal` (2 is Ctrl-C, 15 is SIGTERM); what was finished is kept in `kept`."""

    exit_code = 130

    def __init__(
        self, message: str, *, hints: Iterable[str] = (), signal: int = 2, kept: str | None = None
    ) -> None:
        super().__init__(message, hints=hints)
        self.exit_code = 128 + signal
        self.signal = signal
        self.kept = kept

    def told(self, hints: Iterable[str]) -> Interrupted:
        """The same with other hints."""
        return Interrupted(self.message, hints=hints, signal=self.signal, kept=self.kept)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, torch's on a device, or what computes on the CPU."""
    torch = sys.modules.get("torch")
    device = getattr(torch, "OutOfMemoryError", None)
    if isinstance(error, MemoryError) or (device is not None and isinstance(error, device)):
        return True
    words = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(word in words for word in _MEMORY_WORDS)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `name`, or None when none comes near."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> WrongUse:
    """The error for a name that a registry does not hold, with the nearest one that it does."""
    names = sorted(choices)
    near = nearest(name, names)
    hints = [f"did you mean {near!r}?"] if near else []
    hints.append(f"valid: {', '.join(names)}")
    return WrongUse(f"unknown {kind} {name!r}", hints=hints)


def check_ranges(settings: object, ranges: Iterable[tuple[str, bool, str]]) -> None:
    """Raise WrongUse for the first attribute that does not fit: its name, whether it fits, what is valid."""
    for name, fits, valid in ranges:
        if not fits:
            raise WrongUse(f"{name} cannot be {getattr(settings, name)}", hints=[f"valid: {valid}"])
