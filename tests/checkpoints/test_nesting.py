from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.checkpoints.nesting import choose_place, is_average
from prunecli.errors import InputRefused

W = {"conv.weight": torch.ones(2), "conv.bias": torch.ones(1)}
OTHER = {"a.weight": torch.zeros(2)}


def place(loaded, *, ema=False):
    return choose_place("x.pt", loaded, ema=ema).place


@pytest.mark.parametrize(
    ("loaded", "where"),
    [
        (W, ""),
        ({"state_dict": W, "epoch": 3}, "state_dict"),
        ({"model": W, "best": torch.tensor(0.5), "loss": torch.tensor(1.0), "t": torch.tensor(1)}, "model"),
        ({"model_state_dict": W, "optimizer_state_dict": {"state": {"0": OTHER}}}, "model_state_dict"),
        ({"net": W, "acc": 1}, "net"),
        ({"checkpoint": {"model": W}}, "checkpoint.model"),
        ({"strange": W}, "strange"),
        ({"model": W, "discriminator": OTHER}, "model"),
        ({"state_dict": W, "model": OTHER}, "state_dict"),
        ({**W, "conv._extra_state": {"x": torch.ones(1)}}, ""),
        ({"ema": OTHER, "model": W}, "model"),
        ({"params_ema": W}, "params_ema"),
    ],
)
def test_the_weights_are_found_where_they_lie(loaded, where):
    assert place(loaded).dotted == where


def test_averaged_weights_are_taken_when_asked_for():
    loaded = {"state_dict": W, "state_dict_ema": OTHER}
    assert place(loaded, ema=True).dotted == "state_dict_ema"
    assert choose_place("x", loaded, ema=False).averaged.dotted == "state_dict_ema"


def test_a_module_gives_its_own_tensors_without_wrappers():
    module = nn.Linear(2, 3)
    found = place({"model": nn.DataParallel(module)})
    assert found.module is module
    assert set(found.entries) == {"weight", "bias"}


def test_two_unknown_places_are_refused_by_name():
    with pytest.raises(InputRefused, match="in 2 places") as refused:
        place({"left": W, "right": OTHER})
    assert "left (2 tensors), right (1 tensor)" in refused.value.hints[0]


@pytest.mark.parametrize(
    "loaded", [{}, {"epoch": 1}, [1, 2], 7, {"optimizer": {"state": OTHER}}, torch.ones(2)]
)
def test_a_file_without_named_tensors_is_refused(loaded):
    with pytest.raises(InputRefused, match="holds no named tensors"):
        place(loaded)


def test_mappings_that_hold_each_other_end():
    a = {"w": 1}
    a["a"] = a
    with pytest.raises(InputRefused):
        place(a)
    leaf = {str(n): {} for n in range(2000)}
    wide = {str(n): leaf for n in range(2000)}
    with pytest.raises(InputRefused, match="nested too widely"):
        place({str(n): wide for n in range(2000)})


def test_words_that_speak_of_an_average():
    assert all(
        map(is_average, ["ema", "model_ema", "state_dict_ema", "ema_state_dict", "EMA", "averaged_model"])
    )
    assert not any(map(is_average, ["model", "schema", "cinema", "state_dict", "remat"]))
