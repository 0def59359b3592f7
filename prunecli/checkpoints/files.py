"""The calls on the file system that writing is made of, in one place: a test lets each of them fail.

What prunecli writes goes through `current()`; what a library writes in C++ does not, and is looked at when
it is there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

_HERE = -100  # AT_FDCWD: a path counts from the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE, Linux 3.15

T = TypeVar("T", bound="Files")


class Files:
    """The real file system. A test puts a subclass in its place whose N-th call fails."""

    def create(self, path: Path) -> int:
        """Make an empty file that was not there; the mode it got (0666 less the umask)."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            return os.fstat(descriptor).st_mode & 0o7777
        finally:
            os.close(descriptor)

    def create_folder(self, path: Path) -> None:
        """Make an empty folder that was not there."""
        path.mkdir()

    def open(self, path: Path) -> BinaryIO:
        """A file to write, empty, made where there is none; every write goes to the system at once."""
        return path.open("w+b", buffering=0)

    def write(self, file: BinaryIO, content: bytes | memoryview) -> None:
        """Write all of `content` where the file stands."""
        view = memoryview(content)
        while view:
            view = view[file.write(view) or 0 :]

    def read(self, file: BinaryIO, buffer: bytearray) -> int:
        """Fill `buffer` with what comes next in an unbuffered file; how much there was."""
        view, place = memoryview(buffer), 0
        while place < len(view):
            count = file.readinto(view[place:])  # type: ignore[attr-defined]
            if not count:
                break
            place += count
        return place

    def sync(self, path: Path) -> None:
        """Wait until the bytes of a file, or the names in a folder, are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def set_mode(self, path: Path, mode: int) -> None:
        """Give a file its permissions."""
        path.chmod(mode)

    def replace(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, in one step, in place of whatever had it."""
        source.replace(target)

    def exchange(self, one: Path, other: Path) -> None:
        """Let two names change places in one step; raises OSError (ENOSYS) where the system cannot."""
        swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if swap is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def link(self, source: Path, target: Path) -> None:
        """Give `source` the name `target` as well, when nothing has it; raises FileExistsError."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Take a file's name away."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove a folder and all that is in it."""
        shutil.rmtree(path)

    def free_bytes(self, folder: Path) -> int:
        """The room left on the disk of `folder`."""
        return shutil.disk_usage(folder).free


_STANDING = [Files()]


def current() -> Files:
    """The file system that is written to."""
    return _STANDING[-1]


@contextmanager
def standing_in(files: T) -> Iterator[T]:
    """Inside, what is written goes through `files`: for tests of what happens when a call fails."""
    _STANDING.append(files)
    try:
        yield files
    finally:
        _STANDING.remove(files)


def fill(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write `pieces` one behind the other into the file at `path`, which holds nothing else afterwards."""
    place = current()
    with place.open(path) as file:
        for piece in pieces:
            place.write(file, piece)
