"""Writing a file whole or not at all: beside its target, to the disk, looked at again, then renamed.

A crash or a full disk leaves the old file as it was; what a killed run left behind is swept by the next.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prunecli.checkpoints.exchanging import take_name
from prunecli.checkpoints.files import Files, current, fill
from prunecli.checkpoints.outputs import STREAM, check_output, target_of
from prunecli.checkpoints.sweeping import temporary_name
from prunecli.checkpoints.wording import shown
from prunecli.errors import PrunecliError, WorkFailed, WrongUse

_CHUNK_BYTES = 1 << 20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Written:
    """A file that is on the disk: its path as given, its size and its sha256."""

    path: str
    bytes: int
    sha256: str


def write_whole(
    path: str | Path,
    write: Callable[[Path], None],
    *,
    force: bool = False,
    measure: Callable[[Path], tuple[int, str]] | None = None,
    expected_bytes: int = 0,
) -> Written:
    """Let `write` fill a temporary file beside `path`, then give it that name.

    `measure` reads the finished file, raises when it is not what was meant, and says its size and sha256; a
    caller that knows nothing of the content leaves it out. `expected_bytes` must be free on the disk.
    A new file gets the mode 0666 less the umask, a replaced one keeps its own; a link's target is replaced,
    not the link. Raises WrongUse as `check_output` does, WorkFailed when the disk is full or anything else
    fails; then no temporary file is left and an old file is untouched.
    """
    if os.fspath(path) == STREAM:
        raise WrongUse(f"{STREAM} is standard output, and this result is a file", hints=["give it a name"])
    check_output(path, force=force)
    place = current()
    target = target_of(path)
    temporary = target.with_name(temporary_name(suffix=target.suffix[:40]))
    try:
        _check_room(target, expected_bytes, place)
        new_mode = place.create(temporary)
        write(temporary)
        place.set_mode(temporary, old_mode(target, new_mode))
        place.sync(temporary)
        size, digest = (measure or measured)(temporary)
        final = _rename(temporary, target, place, force=force)
    except PrunecliError:
        raise
    except OSError as error:
        raise failed(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    settle(target.parent, path)
    if final != target:
        raise WorkFailed(
            f"{shown(path)} appeared while the work went on, and was not replaced",
            hints=[f"the result was kept: {shown(final)}"],
        )
    return Written(os.fspath(path), size, digest)


def write_data(path: str | Path, data: bytes, *, force: bool = False) -> Written:
    """Write `data` to `path` as `write_whole` does, read back."""

    def same(temporary: Path) -> tuple[int, str]:
        found = measured(temporary)
        if found != (len(data), hashlib.sha256(data).hexdigest()):
            raise WorkFailed(f"{shown(path)} was read back with other bytes than were written")
        return found

    return write_whole(
        path, lambda temporary: fill(temporary, [data]), measure=same, expected_bytes=len(data), force=force
    )


def settle(folder: Path, path: str | Path) -> None:
    """Let the new names in `folder` reach the disk; raises WorkFailed where it does not say that they did."""
    try:
        current().sync(folder)
    except OSError as error:
        raise WorkFailed(
            f"{shown(path)} was written, but its folder could not be synced: {_reason(error)}",
            hints=["the file is whole; it may be gone after a power cut"],
        ) from error


def _check_room(target: Path, expected: int, place: Files) -> None:
    free = place.free_bytes(target.parent)
    if expected > free:
        raise WorkFailed(
            f"not enough room for {shown(target)}: it takes {expected:,} bytes, {free:,} are free",
            hints=["nothing was written; free some room or choose another disk with -o"],
        )


def old_mode(target: Path, new_mode: int) -> int:
    """The mode of the file that is there, else `new_mode`."""
    try:
        return target.stat().st_mode & 0o7777
    except FileNotFoundError:
        return new_mode


def measured(path: Path) -> tuple[int, str]:
    """Size and sha256 of a file."""
    digest, size = hashlib.sha256(), 0
    place, buffer = current(), bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while count := place.read(file, buffer):
            digest.update(memoryview(buffer)[:count])
            size += count
    return size, digest.hexdigest()


def _rename(temporary: Path, target: Path, place: Files, *, force: bool) -> Path:
    """The name the file has now: `target`, or one beside it when `target` may not be replaced."""
    if force:
        place.replace(temporary, target)
        return target
    beside = target.with_name(f"{target.stem[:200]}.{os.getpid()}{target.suffix[:40]}")
    for name in (target, beside):
        with suppress(FileExistsError):
            take_name(temporary, name, place)
            return name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def failed(path: str | Path, error: OSError) -> WorkFailed:
    """What is said when `path` could not be written."""
    hints = ["nothing was left behind; a file that was there before is as it was"]
    if error.errno in FULL:
        hints.insert(0, "free some room, or choose another disk with -o")
    return WorkFailed(f"{shown(path)} could not be written: {_reason(error)}", hints=hints)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
