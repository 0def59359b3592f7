from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from prunecli.training.prefetching import THREAD_NAME, begun_ahead


def readers() -> list[str]:
    """The threads that read ahead now."""
    return [each.name for each in threading.enumerate() if each.name.startswith(THREAD_NAME)]


class Recorder:
    """Tasks that note when they were begun, and by how many threads at once."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    def tasks(self, count: int) -> list[Callable[[], int]]:
        return [partial(self.run, number) for number in range(count)]

    def run(self, number: int) -> int:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.append(number)
        time.sleep(0.001)
        self.at_once -= 1
        return number * 10


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_results_come_in_order_and_no_thread_stays(count: int) -> None:
    recorder = Recorder()
    assert list(begun_ahead(recorder.tasks(count))) == [10 * number for number in range(count)]
    assert recorder.begun == list(range(count))
    assert recorder.most_at_once == min(1, count)
    assert readers() == []


def test_two_tasks_are_done_while_the_result_before_them_is_in_use() -> None:
    done = [threading.Event() for _ in range(4)]
    results = begun_ahead([event.set for event in done])
    next(results)
    # Nothing is asked for in between: they are done by the thread, or this times out.
    assert done[1].wait(10) and done[2].wait(10)
    assert not done[3].is_set()
    next(results)
    assert done[3].wait(10)
    results.close()


def test_nothing_is_begun_before_the_first_result_is_asked_for() -> None:
    recorder = Recorder()
    results = begun_ahead(recorder.tasks(3))
    assert readers() == []
    results.close()
    assert recorder.begun == []


def test_what_a_task_raises_comes_out_in_its_place_and_ends_the_thread() -> None:
    recorder = Recorder()

    def fail() -> int:
        raise OSError("broken")

    tasks = recorder.tasks(8)
    tasks[2] = fail
    results = begun_ahead(tasks)
    assert [next(results), next(results)] == [0, 10]
    with pytest.raises(OSError, match="broken"):
        next(results)
    assert readers() == []
    assert recorder.begun[:2] == [0, 1] and max(recorder.begun) <= 4


def test_closing_drops_what_was_not_begun_and_waits_for_what_was() -> None:
    recorder = Recorder()
    started, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        go_on.wait(10)
        return recorder.run(99)

    results = begun_ahead([*recorder.tasks(1), slow, *recorder.tasks(2)])
    next(results)
    assert started.wait(10)
    threading.Timer(0.05, go_on.set).start()
    results.close()
    assert recorder.begun == [0, 99]
    assert readers() == []


def test_leaving_a_loop_ends_the_thread() -> None:
    for result in begun_ahead(Recorder().tasks(50)):
        if result == 30:
            break
    assert readers() == []
