"""Work begun before its result is asked for, by a thread that ends with whoever asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

THREAD_NAME = "prunecli-reading-ahead"


def begun_ahead(tasks: Iterable[Callable[[], Result]], *, depth: int = 2) -> Generator[Result, None, None]:
    """The results of `tasks`, in their order, with the next `depth` (at least 1) done or waiting meanwhile.

    One thread does one task after the other. What a task raises comes out where its result would have. When
    the iterator ends, fails or is closed, the tasks not begun are dropped, the one under way is waited for,
    and no thread is left.
    """
    # One thread: a source of images may not bear two readers, and one that does has a pool of its own.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=THREAD_NAME)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
