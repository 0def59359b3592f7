"""Memory as a network runs: kept from call to call, where the C library would give it back each time.

glibc returns large blocks to the system when they are freed. A network that frees and asks again for every
activation then waits for the system to clear pages, in the worst case longer than it computes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Numbers of glibc's mallopt.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
NEVER = -1
# Where glibc's own adjustment ends up in a process that frees large blocks.
USUAL = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}


@cache
def _library() -> Any:
    """The C library, None where it is not glibc."""
    try:
        found = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return found if hasattr(found, "mallopt") and hasattr(found, "malloc_trim") else None


def can_keep_memory() -> bool:
    """Whether this system's C library can be told to keep freed memory."""
    return _library() is not None


def give_back() -> None:
    """Let the system have what the process holds and does not use."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Freed memory stays with the process meanwhile and goes back at the end; no more than glibc does it."""
    library = _library()
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        for number, value in USUAL.items():
            library.mallopt(number, value)
        library.malloc_trim(0)
