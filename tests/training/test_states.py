from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.training.states import modes_kept, restore, snapshot


class Remembering(nn.Module):
    """A parameter, and a buffer that no state_dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(1), persistent=False)


def test_a_snapshot_is_a_copy_of_everything_and_comes_back_in_place() -> None:
    model = Remembering()
    weight = model.layer.weight
    before = weight.detach().clone()
    state = snapshot(model)
    with torch.no_grad():
        weight.add_(1)
        model.get_buffer("seen").add_(5)
    restore(model, state)
    assert model.layer.weight is weight
    assert torch.equal(weight, before)
    assert model.get_buffer("seen").item() == 0
    assert weight.requires_grad


def test_modes_come_back_module_by_module_also_after_an_error() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    model[1].eval()

    def disturb() -> None:
        with modes_kept(model):
            model.train()
            model[0].eval()
            raise ValueError

    with pytest.raises(ValueError):
        disturb()
    assert [module.training for module in model.modules()] == [True, True, False, False]
