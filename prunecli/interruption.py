"""A wish to stop, noted by whoever minds the signals and obeyed by work that first finishes its step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class _Wish:
    """What the signal handler and the work share; there is one."""

    def __init__(self) -> None:
        self.patient = 0
        self.signal: int | None = None
        self.putting_off = 0
        self.put_off: int | None = None


_WISH = _Wish()


@contextmanager
def finishing_steps() -> Iterator[None]:
    """Inside, a first signal is only noted: the work asks `requested()` after every step and ends itself."""
    _WISH.patient += 1
    try:
        yield
    finally:
        _WISH.patient -= 1
        if not _WISH.patient:
            _WISH.signal = None


@contextmanager
def put_off() -> Iterator[None]:
    """Inside, signals wait until the end: for the moment in which several files change their names."""
    _WISH.putting_off += 1
    try:
        yield
    finally:
        _WISH.putting_off -= 1
        if not _WISH.putting_off and _WISH.put_off is not None:
            number, _WISH.put_off = _WISH.put_off, None
            os.kill(os.getpid(), number)


def note(number: int) -> bool:
    """Note signal `number`; False when nothing minds it, or when it was noted before: then stop at once."""
    if _WISH.putting_off:
        _WISH.put_off = number
        return True
    if not _WISH.patient or _WISH.signal is not None:
        return False
    _WISH.signal = number
    return True


def requested() -> int | None:
    """The signal that asked the work to stop, None while it may go on."""
    return _WISH.signal
