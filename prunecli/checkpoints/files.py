"""The calls on the file system that a whole write is made of, in one place: a test lets each fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Files:
    """The real file system. A test passes a subclass whose N-th call fails."""

    def create(self, path: Path) -> int:
        """Make an empty file that was not there; the mode it got (0666 less the umask)."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            return os.fstat(descriptor).st_mode & 0o7777
        finally:
            os.close(descriptor)

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

    def add(self, source: Path, target: Path) -> None:
        """Give `source` the name `target` only when nothing has it; raises FileExistsError."""
        os.link(source, target)
        source.unlink()

    def free_bytes(self, folder: Path) -> int:
        """The room left on the disk of `folder`."""
        return shutil.disk_usage(folder).free
