"""A file to read, opened once: never a pipe or a device, never by its name a second time.

A stream (standard input) is read into memory after its first bytes have shown what it is.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from prunecli.checkpoints.sniff import HEAD_BYTES, kind_of
from prunecli.checkpoints.sweeping import is_passing
from prunecli.checkpoints.wording import listed, shown
from prunecli.errors import InputRefused

STREAM = "<stdin>"
CHUNK_BYTES = 1 << 20

_NOT_FILES = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True)
class Source:
    """An open, seekable input: what it is called, its bytes, its size and its kind.

    `local` is None for a stream.
    """

    path: str
    file: BinaryIO
    size: int
    kind: str
    local: Path | None

    @property
    def name(self) -> str:
        """The path as it may be shown."""
        return shown(self.path)

    def close(self) -> None:
        """Close the file; what was read from it stays."""
        self.file.close()

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The bytes from `start` to `end`, in pieces of at most 1 MiB; each overwrites the one before."""
        self.file.seek(start)
        left = (self.size if end is None else end) - start
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while left > 0:
            count = cast(io.BufferedReader, self.file).readinto(buffer[: min(left, CHUNK_BYTES)])
            if not count:
                return
            left -= count
            yield buffer[:count]

    def sha256(self) -> str:
        """The digest of the whole file, in hexadecimal."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def open_source(source: str | Path | BinaryIO) -> Source:
    """Open `source` and say what it is; the caller closes it.

    Raises InputRefused for what is missing, unreadable, no regular file or no checkpoint.
    """
    if isinstance(source, (str, Path)):
        return _open_file(os.fspath(source))
    return _read_stream(source)


def read_bytes(path: str, *, most: int) -> bytes:
    """What is in the file at `path`; raises InputRefused as `open_source` does, and for over `most` bytes."""
    content = first_bytes(path, most + 1)
    if len(content) > most:
        raise InputRefused(f"{shown(path)} is larger than the {most:,} bytes that are read of such a file")
    return content


def first_bytes(path: str, count: int) -> bytes:
    """The first bytes of the file at `path`; raises InputRefused as `open_source` does."""
    with _opened_regular(path) as file:
        try:
            return file.read(count)
        except OSError as error:
            raise InputRefused(f"{shown(path)} cannot be read: {error.strerror}") from error


def _read_stream(stream: BinaryIO) -> Source:
    try:
        return _buffered(stream)
    except OSError as error:
        raise InputRefused(f"{STREAM} cannot be read: {error.strerror}") from error


def _buffered(stream: BinaryIO) -> Source:
    head = b""
    while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
        head += more
    # An endless stream of something else (/dev/zero) must not fill the memory first.
    kind_of(head, path=STREAM, size=len(head))
    whole = io.BytesIO(head)
    whole.seek(0, io.SEEK_END)
    while chunk := stream.read(CHUNK_BYTES):
        whole.write(chunk)
    size = whole.tell()
    return Source(STREAM, whole, size, kind_of(head, path=STREAM, size=size), None)


def _open_file(path: str) -> Source:
    file = _opened_regular(path)
    try:
        size = os.fstat(file.fileno()).st_size
        kind = kind_of(file.read(HEAD_BYTES), path=path, size=size)
    except OSError as error:
        file.close()
        raise InputRefused(f"{shown(path)} cannot be read: {error.strerror}") from error
    except InputRefused:
        file.close()
        raise
    return Source(path, file, size, kind, Path(path))


def _opened_regular(path: str) -> BinaryIO:
    try:
        refuse_other_than_file(path, os.stat(path))  # noqa: PTH116 - a path of odd bytes stays as it is
        # Not blocking, and looked at again: the name may have become a pipe since.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from error
    file = os.fdopen(descriptor, "rb")
    try:
        refuse_other_than_file(path, os.fstat(descriptor))
    except InputRefused:
        file.close()
        raise
    return file


def _unopened(path: str, error: OSError | ValueError) -> InputRefused:
    if isinstance(error, FileNotFoundError):
        return InputRefused(f"{shown(path)} does not exist", hints=_nearest_files(path))
    if isinstance(error, PermissionError):
        return InputRefused(f"{shown(path)} may not be read: permission denied", hints=["see: ls -l"])
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
    return InputRefused(f"{shown(path)} cannot be opened: {reason}")


def _nearest_files(path: str) -> list[str]:
    wanted = Path(path)
    try:
        names = [entry.name for entry in os.scandir(wanted.parent) if not is_passing(entry.name)]
    except OSError:
        return [f"the folder {shown(wanted.parent)} does not exist either"]
    near = difflib.get_close_matches(wanted.name, names, n=1, cutoff=0.6)
    return [f"did you mean {shown(wanted.parent / near[0])}?"] if near else []


def refuse_other_than_file(path: str, status: os.stat_result) -> None:
    """Raise InputRefused, in words, for a folder, pipe, device or socket."""
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise _refused_folder(Path(path))
    what = next((word for test, word in _NOT_FILES if test(status.st_mode)), "no regular file")
    raise InputRefused(f"{shown(path)} is {what}, not a file", hints=["for standard input give: -"])


def _refused_folder(folder: Path) -> InputRefused:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not is_passing(entry.name))
    except OSError:
        names = []
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return InputRefused(
            f"{shown(folder)} is a distributed checkpoint: a folder whose index is a program",
            hints=[
                "convert it first, only if you trust it (this runs what the file names):",
                "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pt",
            ],
        )
    inside = [
        name for name in names if name.endswith((".safetensors", ".safetensors.index.json", ".pt", ".pth"))
    ]
    hints = [f"give one of its files: {listed([folder / name for name in inside], most=3)}"] if inside else []
    return InputRefused(f"{shown(folder)} is a folder, not a file", hints=hints)
