"""The sha256 of a checkpoint's files by a thread of its own, while other work goes on."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from prunecli.checkpoints.source import Source
from prunecli.errors import InputRefused

# Large: between two pieces the thread waits for the interpreter, and holds up who has it.
_PIECE_BYTES = 128 << 20


class BackgroundDigest:
    """Hashes open files from the moment it is made; `close` ends it, finished or not.

    The files stay open until then. Of several files (an index, then its shards) it is the digest over the
    digests, as `load_shards` makes it.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._stop = Event()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._found: Future[str] = self._threads.submit(self._digest)

    def result(self) -> str:
        """The digest in hexadecimal, once it is there; raises InputRefused for what can no longer be read."""
        return self._found.result()

    def close(self) -> None:
        """End the thread and close the files."""
        self._stop.set()
        self._threads.shutdown()
        for source in self._sources:
            source.close()

    def _digest(self) -> str:
        found = [self._of(source) for source in self._sources]
        if len(found) == 1:
            return found[0].hex()
        return hashlib.sha256(b"".join(found)).hexdigest()

    def _of(self, source: Source) -> bytes:
        """The digest of one file, through a map: whoever else reads the same open file keeps its place."""
        digest = hashlib.sha256()
        with _mapped(source) as pages:
            for start in range(0, source.size, _PIECE_BYTES):
                if self._stop.is_set():
                    break
                count = min(_PIECE_BYTES, source.size - start)
                if hasattr(os, "posix_fadvise"):  # unlike madvise it lets other threads go on meanwhile
                    os.posix_fadvise(source.file.fileno(), start, 2 * _PIECE_BYTES, os.POSIX_FADV_WILLNEED)
                with memoryview(pages) as whole, whole[start : start + count] as piece:
                    digest.update(piece)
                pages.madvise(mmap.MADV_DONTNEED, start, count)
        if os.fstat(source.file.fileno()).st_size != source.size:
            raise InputRefused(f"{source.name} changed while it was read", hints=["try again"])
        return digest.digest()


def _mapped(source: Source) -> mmap.mmap:
    try:
        return mmap.mmap(source.file.fileno(), source.size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise InputRefused(f"{source.name} cannot be mapped: {error}") from error
