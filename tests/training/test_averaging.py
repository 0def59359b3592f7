from __future__ import annotations

from contextlib import suppress

import networks
import pytest
import torch
from torch import Tensor, nn

from prunecli.training.averaging import Average
from prunecli.training.states import snapshot


class Counted(nn.Module):
    """A parameter, a floating buffer that no state dict has, and a counter."""

    hidden: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -4.0]))
        self.register_buffer("hidden", torch.tensor([8.0]), persistent=False)
        self.register_buffer("count", torch.tensor(3))

    def put(self, weight: float, hidden: float, count: int) -> None:
        with torch.no_grad():
            self.weight.fill_(weight)
            self.hidden.fill_(hidden)
            self.count.fill_(count)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def after(model: nn.Module, decay: float, updates: int) -> Average:
    average = Average(model, decay)
    for _ in range(updates):
        average.update(model)
    return average


def test_an_average_by_hand() -> None:
    model = Counted()
    average = Average(model, decay=0.15)
    model.put(weight=12.0, hidden=18.0, count=7)
    average.update(model)  # d = 0.1, below the decay
    found = average.tensors()
    assert found["weight"].tolist() == pytest.approx([0.2 + 10.8, -0.4 + 10.8])
    assert found["hidden"].tolist() == pytest.approx([0.8 + 16.2])
    assert int(found["count"]) == 7
    model.put(weight=1.0, hidden=0.0, count=8)
    average.update(model)  # d = min(0.15, 2 / 11)
    assert average.tensors()["weight"].tolist() == pytest.approx([0.15 * 11.0 + 0.85, 0.15 * 10.4 + 0.85])
    assert average.tensors()["hidden"].tolist() == pytest.approx([0.15 * 17.0])
    assert int(average.tensors()["count"]) == 8


def test_the_decay_rises_to_the_one_asked_for() -> None:
    model = Counted()
    shares = []
    average = Average(model, decay=0.9)
    for _ in range(100):
        with torch.no_grad():
            average.tensors()["weight"].fill_(1.0)
        model.put(weight=0.0, hidden=0.0, count=0)
        average.update(model)
        shares.append(float(average.tensors()["weight"][0]))
    wanted = [min(0.9, (1 + n) / (10 + n)) for n in range(100)]
    assert shares == pytest.approx(wanted)
    assert shares[-1] == pytest.approx(0.9)


def test_batch_norm_statistics_are_averaged_too() -> None:
    model = networks.randomised(networks.Plain())
    average = Average(model, decay=0.99)
    before = snapshot(model)
    model.train()
    model(torch.randn(4, 3, 8, 8))
    average.update(model)
    found = average.tensors()
    wanted = 0.1 * before["bn1.running_var"] + 0.9 * model.bn1.running_var
    assert torch.allclose(found["bn1.running_var"], wanted)
    assert int(found["bn1.num_batches_tracked"]) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_swapped_in_the_average_and_back_bit_for_bit(fails: bool) -> None:
    model = Counted()
    average = Average(model, decay=0.5)
    model.put(weight=1 / 3, hidden=0.1, count=9)
    average.update(model)
    model.put(weight=1 / 7, hidden=0.7, count=10)
    trained, objects = snapshot(model), dict(model.named_parameters())
    averaged = {name: average.tensors()[name].clone() for name in trained}
    with suppress(ZeroDivisionError), average.swapped(model):
        assert same(snapshot(model), averaged)
        assert all(value is objects[name] for name, value in model.named_parameters())
        model.put(weight=1 / (0 if fails else 3), hidden=2.0, count=11)
    assert same(snapshot(model), trained)
    assert all(value is objects[name] for name, value in model.named_parameters())
    assert same({name: average.tensors()[name] for name in trained}, averaged)


def test_the_optimiser_goes_on_with_the_parameters_that_were_swapped() -> None:
    model = Counted()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    average = after(model, 0.5, 1)
    model.put(weight=5.0, hidden=0.0, count=0)
    with average.swapped(model):
        assert model.weight.tolist() == [2.0, -4.0]
    model.weight.grad = torch.ones(2)
    optimiser.step()
    assert model.weight.tolist() == [4.0, 4.0]


def test_a_resumed_average_goes_on_bit_for_bit() -> None:
    model = Counted()
    average = after(model, 0.9, 5)
    kept = {name: tensor.clone() for name, tensor in average.tensors().items()}
    other = Average(Counted(), 0.9)
    other.restore(kept)
    model.put(weight=0.3, hidden=0.9, count=4)
    average.update(model)
    other.update(model)
    assert same(average.tensors(), other.tensors())
    assert int(other.tensors()["updates."]) == 6


def test_small_changes_of_a_model_in_half_of_the_bits_are_not_lost() -> None:
    model = Counted().to(torch.bfloat16)
    model.put(weight=1.0, hidden=1.0, count=0)
    average = Average(model, 0.999)
    average.tensors()["updates."].fill_(10_000)
    model.put(weight=1.0078125, hidden=1.0, count=0)  # the next number of bfloat16
    average.update(model)
    assert average.tensors()["weight"].dtype == torch.float32
    assert average.tensors()["weight"].tolist() == pytest.approx([1.0000078125] * 2, abs=2e-7)
    with average.swapped(model):
        assert model.weight.dtype == torch.bfloat16


def test_a_model_without_floating_tensors_has_an_average() -> None:
    model = nn.Module()
    model.register_buffer("count", torch.tensor(3))
    assert int(after(model, 0.9, 1).tensors()["count"]) == 3


def test_shared_weights_are_averaged_once() -> None:
    model = networks.randomised(networks.TiedWeights())
    average = Average(model, decay=0.9)
    start = model.first.weight.detach().clone()
    with torch.no_grad():
        model.first.weight.zero_()
    average.update(model)
    assert torch.allclose(average.tensors()["first.weight"], 0.1 * start)
    assert "again.weight" not in average.tensors()
