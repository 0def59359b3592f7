from __future__ import annotations

from typing import Any

import pytest

from prunecli.errors import WrongUse
from prunecli.training import FitSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"batch_size": 1},
        {"warmup_epochs": 3},
        {"warmup_epochs": -1},
        {"label_smoothing": 1.0},
        {"label_weight": -0.5},
    ],
)
def test_a_value_out_of_range_is_wrong_use_and_named(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(WrongUse, match=f"{name} cannot be {value}") as caught:
        FitSettings(**{"epochs": 3, **wrong})
    assert caught.value.hints[0].startswith("valid: ")


def test_names_are_checked_with_the_nearest_match() -> None:
    with pytest.raises(WrongUse, match="schedule 'cosin'") as caught:
        FitSettings(epochs=1, schedule="cosin")
    assert caught.value.hints[0] == "did you mean 'cosine'?"
    with pytest.raises(WrongUse, match="augmentation 'cifar10'"):
        FitSettings(epochs=1, augment="cifar10")


def test_the_edges_are_valid() -> None:
    settings = FitSettings(epochs=1, momentum=0.0, weight_decay=0.0, batch_size=2, label_smoothing=0.0)
    assert (settings.schedule, settings.augment, settings.nesterov) == ("cosine", "none", True)
