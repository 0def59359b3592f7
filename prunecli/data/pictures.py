"""Images that are not decoded yet, one by one or many at once by a pool of threads.

Pillow lets go of the interpreter while it decodes, so threads use every core and nothing has to be
pickled between processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from prunecli.data.decoding import Read, UnreadableImage, read_image
from prunecli.data.shapes import ImageShape
from prunecli.progress import Progress, silent

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    Block = NDArray[np.uint8]
    Cut = Callable[[Image, int], Block]

# Small enough for every core to get some of a batch, large enough that a task costs next to nothing.
_TASKS_PER_WORKER = 4
_IMAGES_PER_TASK = 256


class Pictures(Protocol):
    """Images by number, opened when asked for."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may read at once, and gain by it."""

    def __len__(self) -> int:
        """How many there are."""

    def name(self, index: int) -> str:
        """What a message calls the image: its file where it has one."""

    def read(self, index: int, look: Callable[[Image], Read]) -> Read:
        """`look` of the image; raises UnreadableImage, naming it, when it cannot be opened or decoded."""


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Image files by their paths."""

    paths: Sequence[str]
    concurrent: bool = True

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """The path."""
        return self.paths[index]

    def read(self, index: int, look: Callable[[Image], Read]) -> Read:
        """`look` of the file."""
        path = self.paths[index]
        return read_image(path, path, look)


def decode(
    pictures: Pictures,
    rows: Sequence[int],
    cut: Cut,
    *,
    shape: ImageShape,
    bad: dict[int, str] | None = None,
    progress: Progress = silent,
    stage: str = "decode",
) -> Tensor:
    """The images at `rows`, in that order, as (N, C, H, W) uint8.

    `cut` gives the bytes of one, from the image and its place in `rows`. Where `bad` is given, the reason of
    what cannot be read is noted there by its place, and its bytes are undefined; else the first is raised.
    """
    import numpy as np
    import torch

    block = np.empty((len(rows), *shape), dtype=np.uint8)

    def fill(place: int) -> None:
        try:
            block[place] = pictures.read(rows[place], lambda image: cut(image, place))
        except UnreadableImage as error:
            if bad is None:
                raise
            bad[place] = error.reason

    for_each(len(rows), fill, concurrent=pictures.concurrent, progress=progress, stage=stage)
    return torch.from_numpy(block)


def for_each(
    count: int,
    work: Callable[[int], None],
    *,
    concurrent: bool,
    progress: Progress = silent,
    stage: str,
) -> None:
    """`work` for every number below `count`, by a pool of threads where `concurrent`.

    The first failure is raised, and what had not begun then is left.
    """
    pool = _pool(os.getpid()) if concurrent and count > 1 else None
    share = -(-count // (_workers() * _TASKS_PER_WORKER))
    size = max(1, min(_IMAGES_PER_TASK, share))

    def some(start: int) -> int:
        stop = min(start + size, count)
        for place in range(start, stop):
            work(place)
        return stop

    starts = range(0, count, size)
    # The results come in order, and what has not begun is cancelled when one of them is a failure.
    for stop in pool.map(some, starts) if pool else map(some, starts):
        progress(stage, stop, count, {})


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """One pool a process: threads do not survive a fork, hence the number."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max_workers=_workers(), thread_name_prefix=f"decode-{process}")


def _workers() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
