from __future__ import annotations

import json
import math

import networks
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.errors import WrongUse
from prunecli.training import precision as room
from prunecli.training.precision import PRECISIONS, Precision, check_precision

CPU = torch.device("cpu")


@pytest.fixture
def float16_on_cpu(monkeypatch: pytest.MonkeyPatch) -> Precision:
    """What float16 does on CUDA, on the one device that is everywhere."""
    monkeypatch.setattr(room, "_DEVICES", {})
    return Precision("float16", CPU)


def one_weight() -> tuple[nn.Linear, torch.optim.Optimizer]:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    return model, torch.optim.SGD(model.parameters(), lr=0.5)


def test_float32_changes_nothing() -> None:
    model, optimiser = one_weight()
    precision = Precision("float32", CPU)
    with precision.forward():
        loss = model(torch.tensor([[3.0]])).sum()
    precision.backward(loss)
    precision.unscale(optimiser)
    assert model.weight.grad is not None
    assert model.weight.grad.item() == 3.0
    precision.step(optimiser)
    assert model.weight.item() == 0.5
    assert precision.state() == {}
    precision.restore({})


def test_bfloat16_casts_the_forward_pass_and_leaves_weights_and_gradients() -> None:
    model = networks.randomised(networks.Plain()).train()
    precision = Precision("bfloat16", CPU)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    wanted = model(images)
    with precision.forward():
        logits = model(images)
        loss = functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert 0 < (logits.float() - wanted).abs().max() < 0.05 * wanted.abs().max()
    precision.backward(loss)
    assert {each.grad.dtype for each in model.parameters() if each.grad is not None} == {torch.float32}
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    with precision.forward():  # again: nothing of the first is left over
        assert model(images).dtype == torch.bfloat16
    assert precision.state() == {}


@pytest.mark.parametrize(
    ("precision", "device", "hints"),
    [
        ("float16", "cpu", ("it does on: cuda", "valid on cpu: float32, bfloat16")),
        ("float16", "mps", ("it does on: cuda", "valid on mps: float32")),
        ("bfloat16", "mps", ("it does on: cpu, cuda", "valid on mps: float32")),
    ],
)
def test_a_precision_that_the_device_lacks_is_refused(
    precision: str, device: str, hints: tuple[str, ...]
) -> None:
    with pytest.raises(WrongUse, match=f"{precision} does not train on {device}") as caught:
        Precision(precision, torch.device(device))
    assert caught.value.hints == hints


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(WrongUse, match="unknown precision 'bfloat'") as caught:
        check_precision("bfloat", device="cpu")
    assert "did you mean 'bfloat16'?" in caught.value.hints


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_precisions_run_on_cuda_whatever_its_number(precision: str) -> None:
    check_precision(precision, device="cuda:1")


def backward(precision: Precision, model: nn.Linear, gradient: float) -> Tensor:
    """The gradient of a loss whose true gradient is this number."""
    with precision.forward():
        output = model(torch.ones(1, 1))
    precision.backward(output.float().sum() * gradient)
    assert model.weight.grad is not None
    return model.weight.grad


@pytest.mark.parametrize("unscaled_first", [False, True])
def test_float16_steps_by_a_gradient_that_it_cannot_hold(
    float16_on_cpu: Precision, unscaled_first: bool
) -> None:
    tiny = 2.0**-26
    assert torch.tensor(tiny, dtype=torch.float16).item() == 0.0
    model, optimiser = one_weight()
    optimiser.param_groups[0]["lr"] = 1 / tiny
    gradient = backward(float16_on_cpu, model, tiny)
    assert gradient.item() == 65536.0 * tiny
    if unscaled_first:
        float16_on_cpu.unscale(optimiser)
        assert gradient.item() == tiny
    float16_on_cpu.step(optimiser)
    assert model.weight.item() == 1.0


def test_a_step_that_overflows_float16_is_left_out_and_the_scale_halved(float16_on_cpu: Precision) -> None:
    model, optimiser = one_weight()
    assert float16_on_cpu.state()["scale"] == 65536.0
    assert math.isinf(backward(float16_on_cpu, model, 1.0).item())
    float16_on_cpu.step(optimiser)
    assert model.weight.item() == 2.0
    assert float16_on_cpu.state()["scale"] == 32768.0
    optimiser.zero_grad()
    assert backward(float16_on_cpu, model, 1.0).item() == 32768.0
    float16_on_cpu.step(optimiser)
    assert model.weight.item() == 1.5


def test_float16_goes_on_from_a_state_that_was_written_as_json(
    float16_on_cpu: Precision,
) -> None:
    for gradient in (1.0, 0.5, 0.5):
        model, optimiser = one_weight()
        backward(float16_on_cpu, model, gradient)
        float16_on_cpu.step(optimiser)
    state = float16_on_cpu.state()
    assert state["scale"] == 32768.0
    assert state["_growth_tracker"] == 2
    other = Precision("float16", CPU)
    other.restore(json.loads(json.dumps(state)))
    assert other.state() == state
    model, optimiser = one_weight()
    assert backward(other, model, 0.5).item() == 16384.0
    other.step(optimiser)
    assert other.state()["_growth_tracker"] == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", PRECISIONS)
def test_a_step_on_cuda(name: str) -> None:
    place = torch.device("cuda")
    model = networks.randomised(networks.Plain()).to(place).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    precision = Precision(name, place)
    images = torch.randn(8, 3, 8, 8, device=place)
    labels = torch.arange(8, device=place) % 5
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        with precision.forward():
            logits = model(images)
            loss = functional.cross_entropy(logits, labels)
        assert logits.dtype == (torch.float32 if name == "float32" else getattr(torch, name))
        losses.append(loss.item())
        precision.backward(loss)
        precision.unscale(optimiser)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        precision.step(optimiser)
    assert losses[-1] < losses[0]
    assert all(torch.isfinite(each).all() for each in model.parameters())
