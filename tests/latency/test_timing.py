"""Timing side by side, with a clock that the runs themselves move: every figure is known."""

from __future__ import annotations

import gc

import pytest

from prunecli.latency.timing import Ratio, Timing, ratio_of, time_side_by_side


class Clock:
    """Seconds that pass only when something says so; `log` keeps who ran."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def run(self, name, seconds):
        def act():
            self.log.append(name)
            self.now += seconds() if callable(seconds) else seconds

        return act


def test_percentiles_of_the_rounds():
    timing = Timing(tuple(float(second) for second in range(11)))
    assert (timing.p10, timing.median, timing.p90) == (1.0, 5.0, 9.0)


def test_rounds_are_interleaved_and_every_other_goes_backwards():
    clock = Clock()
    a, b = time_side_by_side([clock.run("a", 0.5), clock.run("b", 0.25)], rounds=3, warm_up=0, clock=clock)
    assert clock.log[-6:] == ["a", "b", "b", "a", "a", "b"]
    assert a.seconds == (0.5,) * 3
    assert b.seconds == (0.25,) * 3


def test_a_short_call_is_repeated_until_its_turn_is_full():
    clock = Clock()
    (timing,) = time_side_by_side([clock.run("a", 0.125)], rounds=1, warm_up=0, turn=1.0, clock=clock)
    assert len(clock.log) == 2 + 8
    assert timing.seconds == (0.125,)


def test_what_ends_a_turn_is_within_the_clock():
    clock = Clock()
    (timing,) = time_side_by_side(
        [clock.run("a", 0.25)], rounds=2, warm_up=0, turn=0.0, finish=clock.run("wait", 0.5), clock=clock
    )
    assert timing.seconds == (0.75, 0.75)


def test_the_ratio_holds_where_the_machine_grows_slower():
    clock = Clock()
    runs = [
        clock.run(name, lambda share=share: share * (1 + clock.now))
        for name, share in (("whole", 0.002), ("half", 0.001))
    ]
    whole, half = time_side_by_side(runs, rounds=400, turn=0.0, warm_up=0, clock=clock)
    assert whole.p90 > 1.5 * whole.p10
    assert ratio_of(whole, half).value == pytest.approx(2.0, rel=2e-3)


def test_without_rounds_it_ends_when_the_ratio_is_known():
    clock = Clock()
    a, _ = time_side_by_side([clock.run("a", 0.5), clock.run("b", 0.25)], seconds=1e9, clock=clock)
    assert len(a.seconds) == 8


def test_without_rounds_it_ends_when_the_time_is_over():
    clock = Clock()
    noise = iter(range(1, 10_000))
    (timing,) = time_side_by_side(
        [clock.run("a", lambda: 1.0 + next(noise) % 7)], seconds=60.0, warm_up=0, clock=clock
    )
    assert 60.0 <= sum(timing.seconds) < 68.0


def test_three_rounds_are_the_least():
    clock = Clock()
    (timing,) = time_side_by_side([clock.run("a", 5.0)], seconds=1.0, clock=clock)
    assert len(timing.seconds) == 3


def test_the_interval_holds_the_median_and_narrows_with_rounds():
    noisy = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.3]
    few = ratio_of(Timing(tuple(noisy)), Timing((1.0,) * 8))
    many = ratio_of(Timing(tuple(noisy * 20)), Timing((1.0,) * 160))
    assert few.low <= few.value <= few.high
    assert many.width < few.width / 2
    assert Ratio(2.0, 1.9, 2.1).width == pytest.approx(0.05)


def test_figures_of_different_rounds_have_no_ratio():
    with pytest.raises(ValueError, match="shorter"):
        ratio_of(Timing((1.0, 2.0)), Timing((1.0,)))


def test_garbage_waits_until_the_rounds_are_over():
    seen = []
    time_side_by_side([lambda: seen.append(gc.isenabled())], rounds=2, warm_up=1, turn=0.0)
    assert seen == [True, False, False]
    assert gc.isenabled()
