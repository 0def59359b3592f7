from __future__ import annotations

import pytest

from prunecli.training.schedule import SCHEDULES, learning_rate


def test_cosine_goes_from_the_highest_through_the_half_to_almost_nothing() -> None:
    rates = [learning_rate("cosine", highest=0.2, step=step, steps=100) for step in range(100)]
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates[25] == pytest.approx(0.2 * 0.8535533905932737)
    assert 0 < rates[99] < 0.0001
    assert rates == sorted(rates, reverse=True)


def test_constant_stays() -> None:
    assert {learning_rate("constant", highest=0.3, step=step, steps=7) for step in range(7)} == {0.3}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_rises_linearly_to_the_highest_rate(schedule: str) -> None:
    rates = [learning_rate(schedule, highest=1.0, step=step, steps=20, warmup_steps=4) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert max(rates) == 1.0


def test_after_the_warm_up_cosine_uses_the_steps_that_are_left() -> None:
    assert learning_rate("cosine", highest=1.0, step=12, steps=20, warmup_steps=4) == pytest.approx(0.5)
