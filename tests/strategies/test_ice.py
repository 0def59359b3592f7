"""ICE on the bundled network and some of its digits: when it trains, at what rate, and what it freezes."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from quarter_of_digits import quarter_of_digits

from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import STRATEGIES
from prunecli.strategies.parts import PartWishes
from prunecli.strategies.procedures import freezing_trial as trials
from prunecli.strategies.procedures import judging, recovering, stepwise
from prunecli.training import fitting
from prunecli.training.pruning_rate import pruning_aware_rate
from prunecli.training.settings import FitSettings
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune

BITE = Bite(ratio=0.5, share=1.0, epochs=1)
BLOCKS = ["conv1", "layer1.0", "layer2.0", "layer3.0"]


@pytest.fixture(scope="module")
def opened():
    return open_checkpoint(Opening())


@pytest.fixture(scope="module")
def images(opened):
    """Every fourth digit of each part."""
    return quarter_of_digits(opened)


@pytest.fixture
def pruned(opened, images):
    """Prune by ICE, or as it is asked."""

    def prune_it(strategy="ice", ratio=0.5, **asked):
        return prune(
            Opening(), ratio=ratio, strategy=strategy, opened=opened, images=images, recalibrate=1, **asked
        )

    return prune_it


@pytest.fixture
def fits(monkeypatch):
    """What every training is given: settings, and the network before and after."""
    seen = []
    real = fitting.fit

    def fit(model, data, *, settings, **more):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        result = real(model, data, settings=settings, **more)
        seen.append((settings, before, copy.deepcopy(model), more.get("teacher")))
        return result

    monkeypatch.setattr(fitting, "fit", fit)
    return seen


@pytest.fixture
def task(opened, images, monkeypatch):
    """The task that the strategy is given."""
    held = []

    monkeypatch.setattr(stepwise, "bite_by_bite", lambda task: held.append(task) or _end())
    with pytest.raises(_End):
        prune(Opening(), ratio=0.5, strategy="ice", opened=opened, images=images, recalibrate=1)
    return held[0]


class _End(Exception):
    pass


def _end():
    raise _End


def test_the_presets_are_those_of_the_paper():
    ice, baseline = STRATEGIES["ice"].parts, STRATEGIES["every-step"].parts
    assert (ice.schedule, ice.trigger, ice.drop) == ("blocks", "drop", 1.5)
    assert (ice.recovery.epochs_each, ice.recovery.freeze_share, ice.recovery.distill) == (1, 0.3, True)
    assert (baseline.schedule, baseline.trigger, baseline.recovery.epochs_each) == ("blocks", "always", 1)
    assert "2505.07411" in STRATEGIES["ice"].source


@pytest.mark.parametrize(
    ("falls", "drop", "after"),
    [
        ([0.0, 1.4, 1.49, 1.0], 1.5, []),
        ([0.0, 1.5, 0.2, 0.1], 1.5, [2]),
        ([0.5, 0.4, 0.6, 0.5], 0.5, [1, 3, 4]),
        ([-1.0, -2.0, 9.0, 0.0], 0.0, [3, 4]),
    ],
)
def test_the_trigger_fires_exactly_from_the_drop_on(pruned, monkeypatch, falls, drop, after):
    left = iter(falls)
    monkeypatch.setattr(recovering.Recovering, "fall", lambda self, network, **_: next(left))
    found = pruned(parts=PartWishes(drop=drop, freeze_share=0.0, distill=False)).document()
    assert found["trainings"] == {"fired": len(after), "bites": 4, "after": after}
    assert [bite["block"] for bite in found["bites"]] == BLOCKS
    assert len(found["history"]) == len(after)
    assert found["verification"]["equivalent"]


def test_the_fall_is_measured_from_the_dense_network_on_the_validation_part(task, images, monkeypatch):
    seen = []

    def evaluate(network, split, **manner):
        seen.append((network, split))
        return type("Found", (), {"accuracy": 90.0 - 2.5 * (len(seen) - 1)})

    monkeypatch.setattr(judging, "evaluate", evaluate)
    judge = recovering.Recovering(replace(task, recalibrate=0))
    assert [judge.fall(task.model), judge.fall(task.model)] == [2.5, 5.0]
    assert seen[0][0] is task.model
    assert all(split is images.data.validation for _, split in seen)


@pytest.mark.parametrize(("again", "fall"), [(89.0, 1.0), (80.0, 4.0)])
def test_what_batch_norms_measured_again_make_good_is_no_fall(task, monkeypatch, again, fall):
    found = iter([90.0, 86.0, again])
    monkeypatch.setattr(recovering.Recovering, "_accuracy", lambda self, network, **_: next(found))
    assert recovering.Recovering(task).fall(task.model) == fall


def test_a_small_fall_is_looked_at_once(task, monkeypatch):
    found = iter([90.0, 89.0])
    monkeypatch.setattr(recovering.Recovering, "_accuracy", lambda self, network, **_: next(found))
    assert recovering.Recovering(task).fall(task.model) == 1.0


def test_judging_a_network_does_not_change_it(task):
    before = copy.deepcopy(task.model.state_dict())
    recovering.Recovering(task).fall(task.model)
    assert all(torch.equal(before[name], tensor) for name, tensor in task.model.state_dict().items())


def test_the_trial_leaves_the_network_bit_for_bit(task):
    before = copy.deepcopy(task.model.state_dict())
    found = trials.freezing_trial(task, BITE)
    after = task.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(each.requires_grad for each in task.model.parameters())
    assert any(not torch.equal(found.before[name], found.after[name]) for name in found.before)


def test_the_trial_prunes_the_first_block_alone_and_trains_an_epoch(task, fits):
    trials.freezing_trial(task, BITE)
    [(settings, before, _, teacher)] = fits
    assert (settings.epochs, settings.lr, settings.schedule, teacher) == (1, 0.001, "constant", None)
    assert before["conv1.weight"].shape[0] == 8
    assert before["layer1.0.conv2.weight"].shape[:2] == (8, 16)  # tied to the first layer, its input is whole
    assert before["layer3.0.conv1.weight"].shape == task.model.get_parameter("layer3.0.conv1.weight").shape


def test_what_changed_least_is_frozen_with_its_batch_norm():
    ones = torch.ones(2, 1, 1, 1)
    found = trials.FreezingTrial(
        before={"a": ones, "b": ones, "c": ones},
        after={"a": 1.5 * ones, "b": 1.1 * ones, "c": 1.2 * ones},
        original={"a": ones, "b": ones, "c": ones},
        norms={"b": "b_norm"},
        images_per_second=1.0,
    )
    assert found.least_changed(0.0) == ()
    assert found.least_changed(0.3) == ("b", "b_norm")
    assert found.least_changed(0.5) == ("b", "b_norm", "c")


def test_a_trial_sees_so_many_images_and_no_more(task, monkeypatch):
    seen = []
    real = fitting.fit
    monkeypatch.setattr(
        fitting, "fit", lambda model, data, **more: (seen.append(data), real(model, data, **more))[1]
    )
    monkeypatch.setattr(trials, "TRIAL_IMAGES", 70)
    trials.freezing_trial(task, BITE)
    assert len(seen[0].train) == 70
    assert len(seen[0].validation) == 2  # nobody reads its accuracy


def test_frozen_layers_stay_as_they_are_with_their_statistics(pruned, fits):
    pruned(parts=PartWishes(drop=0.0, freeze_share=0.6))
    trial, *trainings = fits
    assert trial[0].freeze == ()
    assert trainings
    for settings, before, trained, _ in trainings:
        after = trained.state_dict()
        frozen = [name for name in before if name.rpartition(".")[0] in settings.freeze]
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        assert any(name.endswith("running_mean") for name in frozen)
        assert not set(frozen) & set(moved)
        assert moved


def test_the_rate_of_each_training_is_that_of_the_weights_left(pruned, fits, opened):
    pruned(parts=PartWishes(drop=0.0, freeze_share=0.0, rate_base=0.003))
    whole = _weights(opened.model)
    assert len(fits) == 4
    for settings, before, _, _ in fits:
        left = sum(t.numel() for name, t in before.items() if t.ndim == 4) / whole
        assert settings.lr == pytest.approx(pruning_aware_rate(left, base=0.003), abs=1e-9)
        assert settings.schedule == "constant"


def test_the_baseline_trains_after_every_block_at_a_thousandth(pruned, fits):
    found = pruned("every-step", training=FitSettings(lr=0.5)).document()
    assert found["trainings"]["after"] == [1, 2, 3, 4]
    assert [(each[0].lr, each[0].freeze, each[3]) for each in fits] == [(0.001, (), None)] * 4


def test_the_dense_network_teaches(pruned, fits, opened):
    pruned(parts=PartWishes(drop=0.0, freeze_share=0.0))
    for _, _, _, teacher in fits:
        assert torch.equal(teacher.conv1.weight, opened.model.conv1.weight)


def test_inner_channels_only_leave_the_blocks_and_the_first_trial_finds_one(pruned, fits):
    found = pruned(residual="inner", parts=PartWishes(drop=0.0)).document()
    lost = [layer["name"] for layer in found["layers"] if layer["removed"]]
    assert lost == ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]
    assert found["trainings"]["after"] == [2, 3, 4]  # nothing leaves conv1
    assert fits[0][1]["layer1.0.conv1.weight"].shape[0] == 8


def test_without_a_training_all_blocks_lose_what_one_shot_takes(pruned):
    never = pruned(parts=PartWishes(drop=101.0, freeze_share=0.0))
    at_once = pruned("one-shot")
    for name, tensor in at_once.model.named_parameters():
        assert torch.equal(tensor, never.model.get_parameter(name)), name
    assert never.document()["trainings"]["fired"] == 0


def test_the_same_seed_gives_the_same_network(pruned):
    first, second = (pruned(parts=PartWishes(drop=1.0), seed=3) for _ in range(2))
    assert first.document()["trainings"] == second.document()["trainings"]
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def _weights(model):
    return sum(each.numel() for each in model.parameters() if each.ndim == 4)
