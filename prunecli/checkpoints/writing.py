"""Writing a file whole or not at all: beside its target, to the disk, looked at again, then renamed.

A crash or a full disk leaves the old file as it was; what a killed run left behind is swept by the next.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prunecli.checkpoints.files import Files
from prunecli.checkpoints.outputs import check_output, target_of
from prunecli.checkpoints.wording import shown
from prunecli.errors import PrunecliError, WorkFailed

_CHUNK_BYTES = 1 << 20
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_STALE = re.compile(r"\.prunecli-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}(\..*)?", re.DOTALL)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# File systems without hard links (FAT, some network shares) answer with one of these.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


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
    verify: Callable[[Path], None] | None = None,
    measure: Callable[[Path], tuple[int, str]] | None = None,
    expected_bytes: int = 0,
    files: Files | None = None,
) -> Written:
    """Let `write` fill a temporary file beside `path`, then give it that name.

    `verify` looks at the finished file and raises when it is not right; a caller that reads it all for that
    gives `measure` instead, which says size and sha256 as well. `expected_bytes` must be free on the disk.
    A new file gets the mode 0666 less the umask, a replaced one keeps its own; a link's target is replaced,
    not the link. Raises WrongUse as `check_output` does, WorkFailed when the disk is full or anything else
    fails; then no temporary file is left and an old file is untouched.
    """
    check_output(path, force=force)
    place = files or Files()
    target = target_of(path)
    sweep_stale(target.parent)
    temporary = target.with_name(temporary_name(suffix=target.suffix[:40]))
    try:
        _check_room(target, expected_bytes, place)
        new_mode = place.create(temporary)
        write(temporary)
        place.set_mode(temporary, old_mode(target, new_mode))
        place.sync(temporary)
        if verify is not None:
            verify(temporary)
        size, digest = (measure or measured)(temporary)
        final = _rename(temporary, target, place, force=force)
        place.sync(target.parent)
    except PrunecliError:
        raise
    except OSError as error:
        raise failed(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    if final != target:
        raise WorkFailed(
            f"{shown(path)} appeared while the work went on, and was not replaced",
            hints=[f"the result was kept: {shown(final)}"],
        )
    return Written(os.fspath(path), size, digest)


def temporary_name(*, suffix: str = "") -> str:
    """A name of this process's own, which `sweep_stale` knows; some exporters look at the suffix."""
    return f".prunecli-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


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
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _rename(temporary: Path, target: Path, place: Files, *, force: bool) -> Path:
    """The name the file has now: `target`, or one beside it when `target` may not be replaced."""
    if force:
        place.replace(temporary, target)
        return target
    beside = target.with_name(f"{target.stem[:200]}.{os.getpid()}{target.suffix[:40]}")
    for name in (target, beside):
        try:
            place.add(temporary, name)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if name.exists():
                continue
            place.replace(temporary, name)
        return name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def put(made: Path, target: Path, place: Files) -> None:
    """Give a file the name `target`, which nothing may have; also where there are no hard links."""
    try:
        place.add(made, target)
    except OSError as error:
        if error.errno not in _NO_LINKS or target.exists():
            raise
        place.replace(made, target)


def failed(path: str | Path, error: OSError) -> WorkFailed:
    """What is said when `path` could not be written."""
    reason = error.strerror or type(error).__name__
    hints = ["nothing was left behind; a file that was there before is as it was"]
    if error.errno in _FULL:
        hints.insert(0, "free some room, or choose another disk with -o")
    return WorkFailed(f"{shown(path)} could not be written: {reason}", hints=hints)


def sweep_stale(folder: Path) -> int:
    """Remove temporary files and folders of this machine's runs that no longer live; how many there were."""
    count = 0
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = _STALE.fullmatch(entry.name)
            if found and found["host"] == _HOST and not _lives(int(found["pid"])):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        Path(entry.path).unlink()
                    count += 1
    return count


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
