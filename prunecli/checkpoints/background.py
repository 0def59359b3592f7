"""The sha256 of a checkpoint's files by a thread of its own, while other work goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from prunecli.checkpoints.source import Source

_CHUNK_BYTES = 4 << 20


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
        """The digest in hexadecimal, once it is there; raises OSError when a file cannot be read."""
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
        # Read at places of its own: whoever else reads the same open file keeps its place.
        digest, buffer, place = hashlib.sha256(), memoryview(bytearray(_CHUNK_BYTES)), 0
        while not self._stop.is_set():
            count = os.preadv(source.file.fileno(), [buffer], place)
            if not count:
                break
            digest.update(buffer[:count])
            place += count
        return digest.digest()
