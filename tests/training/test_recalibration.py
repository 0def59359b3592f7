from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from prunecli.data import DataSet, Split, normalise
from prunecli.errors import InputRefused, WrongUse
from prunecli.training import evaluate, recalibrate_batch_norm

MEAN, STD = (0.2,), (0.15,)


class NormOnly(nn.Module):
    """Batch norm on the images themselves, then two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, momentum=0.1)
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(images).flatten(1))
        return logits


def random_split(count: int) -> Split:
    images = torch.randint(0, 256, (count, 1, 2, 2), generator=torch.Generator().manual_seed(1))
    return Split(images.to(torch.uint8), torch.arange(count) % 2, 2)


def test_one_batch_of_everything_gives_the_exact_statistics() -> None:
    model, split = NormOnly().eval(), random_split(40)
    assert recalibrate_batch_norm(model, split, mean=MEAN, std=STD, batches=3, batch_size=40) == 1
    images = normalise(split.images, MEAN, STD)
    assert float(model.norm.running_mean) == pytest.approx(float(images.mean()), abs=1e-5)  # type: ignore[arg-type]
    assert float(model.norm.running_var) == pytest.approx(float(images.var()), rel=1e-5)  # type: ignore[arg-type]
    assert model.norm.momentum == 0.1
    assert not model.norm.training


def test_several_batches_weigh_the_same_and_no_more_are_run_than_asked_for() -> None:
    model, split = NormOnly(), random_split(40)
    recalibrate_batch_norm(model, split, mean=MEAN, std=STD, batches=4, batch_size=10)
    whole = float(normalise(split.images, MEAN, STD).mean())
    assert float(model.norm.running_mean) == pytest.approx(whole, abs=1e-5)  # type: ignore[arg-type]
    assert int(model.norm.num_batches_tracked) == 4  # type: ignore[arg-type]
    recalibrate_batch_norm(model, split, mean=MEAN, std=STD, batches=2, batch_size=10)
    assert int(model.norm.num_batches_tracked) == 2  # type: ignore[arg-type]


def test_only_statistics_change_and_the_seed_decides(
    stripe_set: DataSet, make_model: Callable[[], nn.Module]
) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        model = make_model().eval()
        recalibrate_batch_norm(
            model, stripe_set.train, mean=MEAN, std=STD, batches=2, batch_size=32, seed=seed
        )
        return model.state_dict()

    before, first, again, other = make_model().state_dict(), run(0), run(0), run(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], before[name])}
    assert changed == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert not torch.equal(first["norm.running_mean"], other["norm.running_mean"])


def test_spoilt_statistics_are_repaired(stripe_set: DataSet, make_model: Callable[[], nn.Module]) -> None:
    model = make_model().eval()
    recalibrate_batch_norm(model, stripe_set.train, mean=MEAN, std=STD)
    good = evaluate(model, stripe_set.test, mean=MEAN, std=STD)
    model.get_buffer("norm.running_mean").add_(30)
    assert abs(evaluate(model, stripe_set.test, mean=MEAN, std=STD).loss - good.loss) > 0.05
    recalibrate_batch_norm(model, stripe_set.train, mean=MEAN, std=STD)
    assert evaluate(model, stripe_set.test, mean=MEAN, std=STD).loss == pytest.approx(good.loss)


def test_a_model_without_batch_norm_is_not_run() -> None:
    assert recalibrate_batch_norm(nn.Linear(3, 3), random_split(4), mean=MEAN, std=STD) == 0


def test_a_failure_puts_the_old_statistics_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = NormOnly().eval()
    model.get_buffer("norm.running_mean").fill_(3)
    calls = []

    def fail_later(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        if len(calls) > 2:
            raise KeyboardInterrupt
        return NormOnly.forward(model, images)

    monkeypatch.setattr(model, "forward", fail_later)
    with pytest.raises(KeyboardInterrupt):
        recalibrate_batch_norm(model, random_split(40), mean=MEAN, std=STD, batch_size=10)
    assert model.get_buffer("norm.running_mean").tolist() == [3]
    assert model.norm.momentum == 0.1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(WrongUse, match="on 0 batches"):
        recalibrate_batch_norm(NormOnly(), random_split(4), mean=MEAN, std=STD, batches=0)
    with pytest.raises(InputRefused, match="3 means"):
        recalibrate_batch_norm(NormOnly(), random_split(4), mean=(0.1,) * 3, std=(0.1,) * 3)
