from __future__ import annotations

import pytest
import torch

from prunecli.errors import WorkFailed
from prunecli.training.losses import LossLog


def test_the_mean_is_over_images_not_steps() -> None:
    log = LossLog(0, look_every=1)
    log.add(torch.tensor(1.0), 30)
    log.add(torch.tensor(4.0), 10)
    assert log.mean() == pytest.approx(1.75)
    assert (log.images, log.last()) == (40, 4.0)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_the_first_odd_loss_is_named_by_epoch_and_step(odd: float) -> None:
    log = LossLog(2, look_every=1)
    log.add(torch.tensor(1.0), 1)
    with pytest.raises(WorkFailed, match=f"the loss is {odd} in epoch 3, step 2"):
        log.add(torch.tensor(odd), 1)


def test_seldom_looks_find_the_same_step_later() -> None:
    log = LossLog(0, look_every=4)
    for loss in (1.0, 1.0, 1.0, 1.0, 2.0, float("nan"), float("nan")):
        log.add(torch.tensor(loss), 1)
    with pytest.raises(WorkFailed, match="step 6"):
        log.add(torch.tensor(1.0), 1)


def test_a_look_at_the_end_sees_what_was_not_looked_at() -> None:
    log = LossLog(0, look_every=100)
    log.look()
    log.add(torch.tensor(float("inf")), 1)
    with pytest.raises(WorkFailed, match="the loss is inf in epoch 1, step 1"):
        log.look()
