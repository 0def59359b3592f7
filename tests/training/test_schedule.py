from __future__ import annotations

import pytest
import torch

from prunecli.errors import WrongUse
from prunecli.training.schedule import SCHEDULES, check_schedule, learning_rate


def test_cosine_goes_from_the_highest_through_the_half_to_almost_nothing() -> None:
    rates = [learning_rate("cosine", highest=0.2, step=step, steps=100) for step in range(100)]
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates[25] == pytest.approx(0.2 * 0.8535533905932737)
    assert 0 < rates[99] < 0.0001
    assert rates == sorted(rates, reverse=True)


def test_constant_stays() -> None:
    assert {learning_rate("constant", highest=0.3, step=step, steps=7) for step in range(7)} == {0.3}


def test_step_drops_to_a_tenth_at_half_and_at_three_quarters() -> None:
    rates = [learning_rate("step", highest=0.2, step=step, steps=8) for step in range(8)]
    assert rates == pytest.approx([0.2] * 4 + [0.02] * 2 + [0.002] * 2)


def test_step_drops_at_the_first_step_that_is_not_before_the_share() -> None:
    rates = [learning_rate("step", highest=1.0, step=step, steps=7) for step in range(7)]
    assert rates == [1.0] * 4 + [0.1] * 2 + [0.01]  # 3.5 and 5.25


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 100, 351])
def test_one_cycle_is_that_of_torch(steps: int) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.3, total_steps=steps, cycle_momentum=False
    )
    for step in range(steps):
        ours = learning_rate("one-cycle", highest=0.3, step=step, steps=steps)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-20), step
        optimiser.step()
        if step < steps - 1:
            theirs.step()


def test_one_cycle_rises_in_three_tenths_and_ends_at_almost_nothing() -> None:
    rates = [learning_rate("one-cycle", highest=2.0, step=step, steps=100) for step in range(100)]
    assert rates[0] == pytest.approx(2 / 25)
    assert rates.index(max(rates)) == 29
    assert rates[29] == 2.0
    assert rates[99] == pytest.approx(2 / 250_000)


def test_one_cycle_takes_no_warm_up() -> None:
    check_schedule("one-cycle", warmup_epochs=0)
    check_schedule("cosine", warmup_epochs=3)
    with pytest.raises(WrongUse, match="a rise of its own and takes no warm-up, 2 epochs"):
        check_schedule("one-cycle", warmup_epochs=2)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "one-cycle"])
def test_the_warm_up_rises_linearly_to_the_highest_rate(schedule: str) -> None:
    rates = [learning_rate(schedule, highest=1.0, step=step, steps=20, warmup_steps=4) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert max(rates) == 1.0


@pytest.mark.parametrize(("schedule", "wanted"), [("cosine", 0.5), ("step", 0.1)])
def test_after_the_warm_up_the_schedule_uses_the_steps_that_are_left(schedule: str, wanted: float) -> None:
    assert learning_rate(schedule, highest=1.0, step=11, steps=20, warmup_steps=4) > wanted
    assert learning_rate(schedule, highest=1.0, step=12, steps=20, warmup_steps=4) == pytest.approx(wanted)
