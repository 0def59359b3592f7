"""Channels lie last while a network runs, where it can, and plainly before and after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunecli.data import TrainingData
from prunecli.training import FitSettings, Hooks, fit
from prunecli.training.layouts import lay_out, layout_kept


class ViewAcrossPositions(nn.Module):
    """`view` cannot take channels and positions together when the channels lie last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * 64, 6)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        logits: Tensor = self.head(features.view(len(images), -1))
        return logits


def lies_last(model: nn.Module) -> bool:
    weight = model.get_parameter("conv.weight")
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.conv(images).mean((2, 3))
        return found


def test_channels_lie_last_inside_and_not_afterwards() -> None:
    model, images = Convolution().train(), torch.randn(2, 3, 8, 8)
    weight = model.conv.weight
    before, expected = weight.detach().clone(), model(images)
    with layout_kept(model):
        lay_out(model, images)
        assert lies_last(model)
        assert model.training
        assert torch.allclose(model(images), expected, atol=1e-6)
    assert model.conv.weight is weight
    assert weight.is_contiguous()
    assert torch.equal(weight, before)


def test_a_network_that_cannot_run_so_stays_as_it_is() -> None:
    model = ViewAcrossPositions()
    lay_out(model, torch.randn(2, 1, 8, 8))
    assert model.conv.weight.is_contiguous()


@pytest.mark.parametrize("network", [nn.Linear(4, 2), nn.Conv1d(3, 4, 3)])
def test_only_networks_with_convolutions_of_two_dimensions_are_laid_out(network: nn.Module) -> None:
    before = [each.stride() for each in network.parameters()]
    lay_out(network, torch.randn(2, 3, 8, 8))
    assert [each.stride() for each in network.parameters()] == before


def test_training_lays_out_and_leaves_plain_weights(
    training_data: TrainingData, make_model: Callable[[], nn.Module]
) -> None:
    seen = []

    class Look(Hooks):
        def after_step(self, model: nn.Module, step: int) -> None:
            weight = model.get_parameter("conv.weight")
            seen.append(weight.is_contiguous(memory_format=torch.channels_last))

    model = make_model()
    fit(model, training_data, settings=FitSettings(epochs=1, batch_size=60), hooks=Look())
    assert seen == [True] * 4
    assert all(each.is_contiguous() for each in model.parameters())
