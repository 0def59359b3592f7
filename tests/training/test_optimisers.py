from __future__ import annotations

import networks
import pytest
import torch
from torch import Tensor, nn

from prunecli.errors import WrongUse
from prunecli.training.optimisers import OPTIMISERS, make_optimiser
from prunecli.training.settings import FitSettings


def pair(start: Tensor) -> nn.Module:
    """A matrix (2, 2) and a vector (2,), both of these numbers."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(start.expand(2, 2))
        model.bias.copy_(start)
    return model


def step(model: nn.Module, optimiser: torch.optim.Optimizer, gradient: float) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimiser.step()


def test_sgd_by_hand() -> None:
    """w ← w − lr · (d + m · v) with d = g + decay · w and v ← m · v + d, the vector decayed too."""
    model = pair(torch.tensor([1.0, -2.0]))
    settings = FitSettings(epochs=1, lr=0.1, momentum=0.5, weight_decay=0.25, nesterov=True)
    optimiser = make_optimiser(model, settings)
    step(model, optimiser, 1.0)
    # d = 1 + 0.25 · (1, −2) = (1.25, 0.5) = v;  w − 0.1 · 1.5 · d
    first = torch.tensor([1 - 0.1875, -2 - 0.075])
    assert torch.allclose(model.bias, first)
    assert torch.allclose(model.weight, first.expand(2, 2))
    step(model, optimiser, 0.0)
    slope = 0.25 * first
    speed = 0.5 * torch.tensor([1.25, 0.5]) + slope
    assert torch.allclose(model.bias, first - 0.1 * (slope + 0.5 * speed))


def test_without_nesterov_or_momentum_sgd_is_plainer() -> None:
    for momentum, nesterov, wanted in ((0.5, False, 1 - 0.1 - 0.15), (0.0, True, 1 - 0.1 - 0.1)):
        model = pair(torch.tensor([1.0, 1.0]))
        settings = FitSettings(epochs=1, lr=0.1, momentum=momentum, weight_decay=0.0, nesterov=nesterov)
        optimiser = make_optimiser(model, settings)
        step(model, optimiser, 1.0)
        step(model, optimiser, 1.0)
        assert model.bias.tolist() == pytest.approx([wanted, wanted])


def test_adamw_by_hand_and_vectors_are_not_decayed() -> None:
    """Its first step is lr · sign(g), after w ← (1 − lr · decay) · w for matrices alone."""
    model = pair(torch.tensor([1.0, -2.0]))
    settings = FitSettings(epochs=1, optimiser="adamw", lr=0.1, momentum=0.8, weight_decay=0.5)
    optimiser = make_optimiser(model, settings)
    step(model, optimiser, 3.0)
    assert model.bias.tolist() == pytest.approx([0.9, -2.1])
    assert model.weight[0].tolist() == pytest.approx([0.95 - 0.1, -1.9 - 0.1])
    assert {group["betas"] for group in optimiser.param_groups} == {(0.8, 0.999)}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_only_what_learns_is_held_and_each_once(name: str) -> None:
    model = networks.TiedWeights()
    model.stem.requires_grad_(False)
    optimiser = make_optimiser(model, FitSettings(epochs=1, optimiser=name, lr=0.3))
    held = [each for group in optimiser.param_groups for each in group["params"]]
    assert {id(each) for each in held} == {
        id(each) for each in (model.first.weight, model.second.weight, model.second.bias)
    }
    assert len(held) == 3
    assert {group["lr"] for group in optimiser.param_groups} == {0.3}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_without_a_parameter_to_train_it_is_refused(name: str) -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(WrongUse, match="no parameter to train"):
        make_optimiser(model, FitSettings(epochs=1, optimiser=name))


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_steps_give_the_same_bits(name: str, dtype: torch.dtype) -> None:
    def trained() -> list[Tensor]:
        model = networks.randomised(networks.Plain()).to(dtype)
        optimiser = make_optimiser(model, FitSettings(epochs=1, optimiser=name))
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(dtype)
            optimiser.step()
        return [each.detach() for each in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(trained(), trained(), strict=True))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_one_call_for_all_is_the_same_arithmetic_as_one_by_one(name: str) -> None:
    models = [networks.randomised(networks.Plain()) for _ in range(2)]
    optimisers = [make_optimiser(model, FitSettings(epochs=1, optimiser=name)) for model in models]
    assert all(group["fused"] for group in optimisers[0].param_groups)
    for group in optimisers[1].param_groups:
        group["fused"] = None
    for model, optimiser in zip(models, optimisers, strict=True):
        for gradient in (0.5, -2.0, 0.25):
            step(model, optimiser, gradient)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_weights_of_another_class_are_left_to_torch(name: str) -> None:
    class Spread(nn.Parameter):
        pass

    model = nn.Linear(2, 2)
    model.weight = Spread(torch.zeros(2, 2))
    optimiser = make_optimiser(model, FitSettings(epochs=1, optimiser=name))
    assert not any(group["fused"] for group in optimiser.param_groups)
