from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunecli.data import DataSet, Split
from prunecli.errors import InputRefused, WorkFailed
from prunecli.training import evaluate


class PixelsAsLogits(nn.Module):
    """The logits of an image are its pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def ranked(*, places: list[int], classes: int) -> Split:
    """Images whose right class has the given place among all logits, 0 for the highest."""
    images = torch.zeros(len(places), 1, 1, classes, dtype=torch.uint8)
    for index, place in enumerate(places):
        others = [value for value in range(classes) if value != classes - 1 - place]
        images[index, 0, 0] = torch.tensor([classes - 1 - place, *others]) * 10
    return Split(images, torch.zeros(len(places), dtype=torch.int64), classes)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_accuracy_and_top5_are_percentages_by_arithmetic(batch_size: int) -> None:
    split = ranked(places=[0, 0, 0, 1, 4, 5, 7], classes=8)
    found = evaluate(PixelsAsLogits(), split, mean=(0.0,), std=(1.0,), batch_size=batch_size)
    assert found.accuracy == pytest.approx(100 * 3 / 7)
    assert found.top5 == pytest.approx(100 * 5 / 7)
    assert found.images == 7
    logits = split.images.flatten(1).double() / 255
    wanted = (logits.logsumexp(1) - logits[:, 0]).mean()
    assert found.loss == pytest.approx(float(wanted), abs=1e-6)
    assert found.images_per_second > 0


def test_top5_is_undefined_for_five_classes() -> None:
    five = evaluate(PixelsAsLogits(), ranked(places=[0, 4], classes=5), mean=(0.0,), std=(1.0,))
    assert (five.accuracy, five.top5) == (50.0, None)
    six = evaluate(PixelsAsLogits(), ranked(places=[0, 5], classes=6), mean=(0.0,), std=(1.0,))
    assert (six.accuracy, six.top5) == (50.0, 50.0)


def test_the_model_is_left_as_it_was(stripe_set: DataSet, make_model: Callable[[], nn.Module]) -> None:
    model = make_model().train()
    model.get_submodule("drop").eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))
    second = evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))
    assert (first.accuracy, first.loss) == (second.accuracy, second.loss)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model.training and not model.get_submodule("drop").training


def test_a_model_in_float64_is_evaluated_in_float64(
    stripe_set: DataSet, make_model: Callable[[], nn.Module]
) -> None:
    single = evaluate(make_model(), stripe_set.test, mean=(0.2,), std=(0.15,))
    double = evaluate(make_model().double(), stripe_set.test, mean=(0.2,), std=(0.15,))
    assert double.loss == pytest.approx(single.loss, rel=1e-5)


def test_a_class_count_that_does_not_fit_is_refused(stripe_set: DataSet) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InputRefused, match="6 classes and the model 10 outputs"):
        evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))


def test_a_loss_that_is_not_finite_is_a_failure(stripe_set: DataSet) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    with torch.no_grad():
        model.get_parameter("1.bias").fill_(float("nan"))
    with pytest.raises(WorkFailed, match="loss on 60 images is nan"):
        evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))


def test_an_absent_device_fails_before_any_work(stripe_set: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(WorkFailed, match="device cuda"):
        evaluate(PixelsAsLogits(), stripe_set.test, mean=(0.2,), std=(0.15,), device="cuda")


def test_progress_counts_images(stripe_set: DataSet) -> None:
    heard: list[tuple[str, int, int]] = []
    evaluate(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 6)),
        stripe_set.test,
        mean=(0.2,),
        std=(0.15,),
        batch_size=25,
        progress=lambda stage, done, total, figures=None: heard.append((stage, done, total)),
    )
    assert heard == [("evaluate", 25, 60), ("evaluate", 50, 60), ("evaluate", 60, 60)]
