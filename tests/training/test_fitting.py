from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.data import DataSet, Split, TrainingData, normalise
from prunecli.errors import InputRefused, WorkFailed
from prunecli.training import FitSettings, Hooks, evaluate, fit
from prunecli.training.augmentation import plan_epoch

Make = Callable[[], nn.Module]


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def validation(model: nn.Module, data: TrainingData) -> tuple[float, float]:
    found = evaluate(model, data.validation, mean=data.mean, std=data.std)
    return found.accuracy, found.loss


def test_it_learns(stripe_set: DataSet, make_model: Make) -> None:
    model = make_model()
    before = evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))
    fit(model, stripe_set.for_training(), settings=FitSettings(epochs=6, lr=0.05, batch_size=32))
    after = evaluate(model, stripe_set.test, mean=(0.2,), std=(0.15,))
    assert before.accuracy < 50
    assert after.accuracy > 90


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_step_is_the_bare_loop(training_data: TrainingData, schedule: str) -> None:
    model, bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 6)), nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    bare.load_state_dict(model.state_dict())
    settings = FitSettings(
        epochs=2, lr=0.1, batch_size=50, weight_decay=0.01, schedule=schedule, label_smoothing=0.1, seed=4
    )

    class NeverBest(Hooks):
        def may_be_best(self, epoch: int) -> bool:
            return False

    fit(model, training_data, settings=settings, hooks=NeverBest())
    optimiser = torch.optim.SGD(
        bare.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, fused=True
    )
    images = normalise(training_data.train.images, (0.2,), (0.15,))
    for epoch in range(2):
        order = plan_epoch(240, image_shape=(1, 8, 8), augment="none", seed=4, epoch=epoch).order
        for step, chosen in enumerate(torch.split(order, 50)):
            optimiser.zero_grad()
            if schedule == "cosine":  # over 2 epochs of 5 steps
                share = (5 * epoch + step) / 10
                optimiser.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * share))
            targets = training_data.train.labels[chosen]
            loss = functional.cross_entropy(bare(images[chosen]), targets, label_smoothing=0.1)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    assert same(weights(model), weights(bare))


def test_the_same_seed_gives_the_same_weights(training_data: TrainingData, make_model: Make) -> None:
    def run(seed: int, disturbance: int) -> list[Tensor]:
        torch.manual_seed(disturbance)
        model = make_model()
        settings = FitSettings(epochs=2, lr=0.05, batch_size=32, augment="light", seed=seed)
        fit(model, training_data, settings=settings)
        return weights(model)

    first = run(0, 1)
    assert same(first, run(0, 2))
    assert not same(first, run(1, 1))


def test_the_random_numbers_of_others_go_on_undisturbed(
    training_data: TrainingData, make_model: Make
) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fit(make_model(), training_data, settings=FitSettings(epochs=1))
    assert torch.equal(torch.rand(3), wanted)


class Wrecker(Hooks):
    """Wrecks the network after the epochs in `bad`."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.states: dict[int, list[Tensor]] = {}

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        if epoch in self.bad:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.normal_()
        self.states[epoch] = weights(model)


def test_the_restored_model_reproduces_the_best_metric_exactly(
    training_data: TrainingData, make_model: Make
) -> None:
    model, wrecker = make_model(), Wrecker({3, 4})
    result = fit(model, training_data, settings=FitSettings(epochs=5, lr=0.05, batch_size=32), hooks=wrecker)
    assert result.best_epoch < 3
    best = result.history[result.best_epoch]
    assert validation(model, training_data) == (best.accuracy, best.loss)
    assert result.best_accuracy == best.accuracy == max(record.accuracy for record in result.history)
    assert same(weights(model), wrecker.states[result.best_epoch])
    assert not same(weights(model), wrecker.states[4])


def test_of_equal_accuracies_the_lower_loss_is_best(training_data: TrainingData, make_model: Make) -> None:
    result = fit(make_model(), training_data, settings=FitSettings(epochs=8, lr=0.1, batch_size=16))
    best = max(result.history, key=lambda record: (record.accuracy, -record.loss))
    ties = [record for record in result.history if record.accuracy == best.accuracy]
    assert len(ties) > 1
    assert result.best_epoch == best.epoch


def test_an_epoch_that_may_not_be_best_is_not(training_data: TrainingData, make_model: Make) -> None:
    class OnlyFrom(Wrecker):
        def may_be_best(self, epoch: int) -> bool:
            return epoch >= 3

    model, hooks = make_model(), OnlyFrom({3, 4})
    result = fit(model, training_data, settings=FitSettings(epochs=5, lr=0.05), hooks=hooks)
    assert result.best_epoch in {3, 4}
    assert result.best_accuracy < max(record.accuracy for record in result.history)
    assert same(weights(model), hooks.states[result.best_epoch])


def test_without_an_epoch_that_counts_the_last_state_stays(
    training_data: TrainingData, make_model: Make
) -> None:
    class Never(Wrecker):
        def may_be_best(self, epoch: int) -> bool:
            return False

    model, hooks = make_model(), Never(set())
    result = fit(model, training_data, settings=FitSettings(epochs=2), hooks=hooks)
    assert result.best_epoch == 1
    assert same(weights(model), hooks.states[1])


def test_hooks_are_called_after_every_step_and_before_the_validation(
    training_data: TrainingData, make_model: Make
) -> None:
    heard: list[str] = []

    class Listening(Hooks):
        def after_step(self, model: nn.Module, step: int) -> None:
            heard.append("step")
            with torch.no_grad():
                model.get_parameter("head.bias").fill_(0)

        def after_epoch(self, model: nn.Module, epoch: int) -> None:
            heard.append(f"epoch {epoch}")
            assert not model.get_parameter("head.bias").any()
            with torch.no_grad():
                model.get_parameter("head.bias")[2] = 1000.0

        def may_be_best(self, epoch: int) -> bool:
            heard.append(f"best {epoch}")
            return True

    result = fit(
        make_model(), training_data, settings=FitSettings(epochs=2, batch_size=100), hooks=Listening()
    )
    assert heard == ["step"] * 3 + ["epoch 0", "best 0"] + ["step"] * 3 + ["epoch 1", "best 1"]
    # What after_epoch did is what was validated: everything is class 2, ten of sixty.
    assert [record.accuracy for record in result.history] == [pytest.approx(100 / 6)] * 2


class ExplodingAt(Hooks):
    """Makes the weights NaN after step `step` (from 1, counted over all epochs)."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.states: list[list[Tensor]] = []

    def after_step(self, model: nn.Module, step: int) -> None:
        self.left -= 1
        if self.left == 0:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        self.states.append(weights(model))


def test_a_loss_that_is_not_finite_is_named_and_the_best_state_kept(
    training_data: TrainingData, make_model: Make
) -> None:
    model, hooks = make_model(), ExplodingAt(10)  # 8 steps an epoch: seen in step 3 of the second
    with pytest.raises(WorkFailed, match="the loss is nan in epoch 2, step 3"):
        fit(model, training_data, settings=FitSettings(epochs=3, lr=0.05, batch_size=32), hooks=hooks)
    assert same(weights(model), hooks.states[0])


def test_in_the_first_epoch_the_first_state_is_kept(training_data: TrainingData, make_model: Make) -> None:
    model = make_model()
    with pytest.raises(WorkFailed, match="in epoch 1, step 3"):
        fit(model, training_data, settings=FitSettings(epochs=1, batch_size=32), hooks=ExplodingAt(2))
    assert same(weights(model), weights(make_model()))


def test_a_validation_loss_that_is_not_finite_is_a_failure_too(
    training_data: TrainingData, make_model: Make
) -> None:
    model = make_model()
    with pytest.raises(WorkFailed, match="validation loss after epoch 1 is nan"):
        fit(model, training_data, settings=FitSettings(epochs=1, batch_size=32), hooks=ExplodingAt(8))
    assert same(weights(model), weights(make_model()))


def test_an_interruption_leaves_the_best_state(training_data: TrainingData, make_model: Make) -> None:
    class Interrupting(Wrecker):
        def after_epoch(self, model: nn.Module, epoch: int) -> None:
            super().after_epoch(model, epoch)
            if epoch == 1:
                raise KeyboardInterrupt

    model, hooks = make_model(), Interrupting({1})
    with pytest.raises(KeyboardInterrupt):
        fit(model, training_data, settings=FitSettings(epochs=3), hooks=hooks)
    assert same(weights(model), hooks.states[0])


def test_a_whole_data_set_is_not_taken(stripe_set: DataSet, make_model: Make) -> None:
    with pytest.raises(TypeError, match="for_training"):
        fit(make_model(), stripe_set, settings=FitSettings(epochs=1))  # type: ignore[arg-type]


def test_the_test_part_changes_nothing(stripe_set: DataSet, make_model: Make) -> None:
    def run(data: DataSet) -> list[Tensor]:
        model = make_model()
        fit(model, data.for_training(), settings=FitSettings(epochs=2))
        return weights(model)

    other = dataclasses.replace(
        stripe_set, test=Split(stripe_set.test.images.flip(0), stripe_set.test.labels, 6)
    )
    assert same(run(stripe_set), run(other))


def test_the_history_says_what_happened(training_data: TrainingData, make_model: Make) -> None:
    result = fit(
        make_model(),
        training_data,
        settings=FitSettings(epochs=4, lr=0.08, batch_size=60, warmup_epochs=2),
    )
    assert [record.epoch for record in result.history] == [0, 1, 2, 3]
    # 4 steps an epoch, 8 of warm-up: 1/9, 5/9, then the cosine at 0 and a half.
    assert [record.lr for record in result.history] == pytest.approx([0.08 / 9, 0.4 / 9, 0.08, 0.04])
    assert result.history[0].train_loss > result.history[3].train_loss
    for record in result.history:
        assert record.seconds > 0
        assert record.images_per_second > 240 / record.seconds


def test_the_labels_count_as_the_settings_say(training_data: TrainingData, make_model: Make) -> None:
    def first_loss(**weights: float) -> float:
        settings = FitSettings(epochs=1, batch_size=240, lr=1e-9, **weights)  # type: ignore[arg-type]
        result = fit(make_model(), training_data, settings=settings, teacher=make_model())
        return result.history[0].train_loss

    labels = first_loss(distill=0.0)
    assert first_loss(distill=0.0, label_weight=3.0) == pytest.approx(3 * labels, rel=1e-6)
    taught = first_loss(distill=1.0, temperature=2.0)
    assert taught > 0
    summed = first_loss(distill=0.25, temperature=2.0, label_weight=1.0)
    assert summed == pytest.approx(labels + taught / 4, rel=1e-6)


def test_frozen_parameters_and_modes_stay(training_data: TrainingData, make_model: Make) -> None:
    model = make_model().eval()
    model.get_parameter("conv.weight").requires_grad_(False)
    before = model.get_parameter("conv.weight").clone()
    fit(model, training_data, settings=FitSettings(epochs=1, momentum=0.0))
    assert torch.equal(model.get_parameter("conv.weight"), before)
    assert not model.training


def test_the_settings_normalisation_goes_before_the_data_sets(
    training_data: TrainingData, make_model: Make
) -> None:
    def run(**normalisation: tuple[float, ...]) -> float:
        settings = FitSettings(epochs=1, **normalisation)  # type: ignore[arg-type]
        return fit(make_model(), training_data, settings=settings).history[0].train_loss

    assert run() == run(mean=(0.2,), std=(0.15,)) != run(mean=(0.9,), std=(0.5,))


def test_classes_that_do_not_fit_are_refused_before_anything_changes(training_data: TrainingData) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    before = weights(model)
    with pytest.raises(InputRefused, match="6 classes and the model 7 outputs"):
        fit(model, training_data, settings=FitSettings(epochs=1))
    assert same(weights(model), before)


def test_an_absent_device_fails_at_once(
    training_data: TrainingData, make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(WorkFailed, match="device cuda is not available"):
        fit(make_model(), training_data, settings=FitSettings(epochs=1, device="cuda"))


def test_progress_ends_each_epoch_with_its_loss(training_data: TrainingData, make_model: Make) -> None:
    heard: list[tuple[str, int, int, dict[str, float]]] = []
    fit(
        make_model(),
        training_data,
        settings=FitSettings(epochs=2, batch_size=80),
        progress=lambda stage, done, total, figures=None: heard.append((stage, done, total, dict(figures))),
    )
    ends = [(stage, done, total) for stage, done, total, _ in heard if stage == "epoch" or done % 3 == 0]
    assert ends == [("train", 3, 6), ("epoch", 1, 2), ("train", 6, 6), ("epoch", 2, 2)]
    assert set(heard[-1][3]) == {"loss", "accuracy"}
