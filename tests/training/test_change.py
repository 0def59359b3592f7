from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from prunecli.errors import WrongUse
from prunecli.training.change import change, least_changed


def filled(**values: list[float]) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


ORIGINAL = filled(a=[3.0, 4.0], b=[6.0, -8.0], c=[0.0, 1.0], d=[2.0, 0.0])  # sizes 5, 10, 1, 2
BEFORE = filled(a=[1.0, -2.0], b=[5.0], c=[1.0], d=[1.0, 1.0])
AFTER = filled(a=[2.0, -2.0], b=[-6.0], c=[-1.0], d=[0.0, -3.0])  # moved 1, 1, 0, 1


def test_the_change_by_hand() -> None:
    found = {name: change(BEFORE[name], AFTER[name], ORIGINAL[name]) for name in ORIGINAL}
    assert found == pytest.approx({"a": 0.2, "b": 0.1, "c": 0.0, "d": 0.5})


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0.0, ()),
        (0.01, ("c",)),
        (0.25, ("c",)),
        (0.3, ("b", "c")),
        (0.75, ("a", "b", "c")),
        (1.0, ("a", "b", "c", "d")),
    ],
)
def test_a_share_of_the_layers_rounded_up_in_their_order(share: float, chosen: tuple[str, ...]) -> None:
    assert least_changed(BEFORE, AFTER, ORIGINAL, share=share) == chosen


def test_of_equal_changes_the_earlier_layer() -> None:
    same = {name: torch.ones(2) for name in ("z", "m", "a", "k")}
    assert least_changed(same, same, same, share=0.5) == ("z", "m")


def test_a_share_that_is_whole_is_not_rounded_up() -> None:
    same = {str(index): torch.ones(1) for index in range(10)}
    assert 0.7 * 10 > 7 or 0.1 * 3 * 10 > 3
    for share, count in ((0.7, 7), (0.1 * 3, 3), (0.31, 4)):
        assert len(least_changed(same, same, same, share=share)) == count


def test_a_layer_that_was_zero_at_first() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    assert change(zero, zero, zero) == 0.0
    assert change(zero, one, zero) == math.inf
    assert least_changed({"a": zero, "b": one}, {"a": one, "b": one}, {"a": zero, "b": one}, share=0.5) == (
        "b",
    )


def test_half_precision_is_summed_in_full() -> None:
    many = torch.full((4096,), 1.0, dtype=torch.float16)
    assert change(many, many * 17, torch.ones(1)) == 4096 * 16.0  # above the largest float16


def test_wrong_input_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"the share of layers cannot be 1\.5"):
        least_changed(BEFORE, AFTER, ORIGINAL, share=1.5)
    with pytest.raises(ValueError, match="not those of the same layers"):
        least_changed(BEFORE, {"a": AFTER["a"]}, ORIGINAL, share=0.5)
