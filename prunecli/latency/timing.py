"""Time several things side by side, so that their ratios hold on a machine that does other work too.

Rounds are interleaved, and every other round goes backwards: what slows the machine for a while slows all
sides, and a steady drift cancels. A ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

Run = Callable[[], object]

FEWEST_ROUNDS = 3
FIRST_LOOK = 8  # rounds before it is asked for the first time whether they are enough
GROWTH = 1.25  # of the rounds, from one look to the next
COVERAGE = 0.95
RESAMPLES = 999


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, a figure a round; those of runs timed together belong together place by place."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return float(np.median(self.seconds))

    @property
    def p10(self) -> float:
        """A tenth of the rounds took less."""
        return float(np.quantile(self.seconds, 0.1))

    @property
    def p90(self) -> float:
        """A tenth of the rounds took more."""
        return float(np.quantile(self.seconds, 0.9))


@dataclass(frozen=True)
class Ratio:
    """A median, and where it lies in 95 % of the resamples of the rounds."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half of the interval as a share of the value: 0.01 is ±1 %."""
        return (self.high - self.low) / 2 / self.value


def ratio_of(a: Timing, b: Timing) -> Ratio:
    """How many times as long as `b` does `a` take: the median of the rounds' ratios, with an interval.

    Raises ValueError when the two were not timed in the same rounds.
    """
    return _median_of([x / y for x, y in zip(a.seconds, b.seconds, strict=True)])


def time_side_by_side(
    runs: Sequence[Run],
    *,
    rounds: int | None = None,
    seconds: float = 20.0,
    width: float = 0.01,
    warm_up: int = 2,
    turn: float = 0.01,
    finish: Run | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Timing, ...]:
    """Seconds of one call of each of `runs`, measured in interleaved rounds: a b, b a, a b.

    A turn is one call, or as many as fill `turn` seconds; its figure is their mean. `finish` ends a turn,
    within the clock: on a GPU it waits for what was started. Before the first round each is called `warm_up`
    times. Without `rounds` it goes on until the ratio of each to the first is known within ±`width` (with one
    run, its median), or until `seconds` have passed; three rounds at the least.
    """
    calls = [_calls_in_a_turn(run, turn=turn, warm_up=warm_up, finish=finish, clock=clock) for run in runs]
    found: list[list[float]] = [[] for _ in runs]
    started, look = clock(), FIRST_LOOK
    with _without_collection():
        while True:
            order = range(len(runs)) if len(found[0]) % 2 == 0 else range(len(runs) - 1, -1, -1)
            for i in order:
                found[i].append(_turn(runs[i], calls[i], finish=finish, clock=clock))
            done = len(found[0])
            if rounds is not None:
                if done >= rounds:
                    break
            elif done >= FEWEST_ROUNDS and clock() - started >= seconds:
                break
            elif done >= look:
                if _settled(found, width):
                    break
                look = math.ceil(done * GROWTH)
    return tuple(Timing(tuple(each)) for each in found)


def _calls_in_a_turn(
    run: Run, *, turn: float, warm_up: int, finish: Run | None, clock: Callable[[], float]
) -> int:
    """How many calls fill a turn, told by two calls once it is warm."""
    for _ in range(warm_up):
        _turn(run, 1, finish=finish, clock=clock)
    if turn <= 0:
        return 1
    single = min(_turn(run, 1, finish=finish, clock=clock) for _ in range(2))
    return max(1, math.ceil(turn / max(single, 1e-7)))


def _turn(run: Run, calls: int, *, finish: Run | None, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(calls):
        run()
    if finish is not None:
        finish()
    return (clock() - start) / calls


def _settled(found: Sequence[Sequence[float]], width: float) -> bool:
    first, *others = (np.asarray(each) for each in found)
    judged = [other / first for other in others] or [first]
    return all(_median_of(list(each)).width <= width for each in judged)


def _median_of(values: Sequence[float]) -> Ratio:
    from scipy.stats import bootstrap

    middle = float(np.median(values))
    if len(values) < FEWEST_ROUNDS:
        return Ratio(middle, float(min(values)), float(max(values)))
    found = bootstrap(
        (values,),
        np.median,
        confidence_level=COVERAGE,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return Ratio(middle, float(found.low), float(found.high))


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage is collected meanwhile: it would fall on whichever side is running."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
