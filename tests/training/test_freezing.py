from __future__ import annotations

from functools import partial
from typing import Any

import networks
import pytest
import torch
import training_runs
from torch import nn

from prunecli.errors import WrongUse
from prunecli.training import FitSettings, caching, fit
from prunecli.training.freezing import freeze, frozen_modes, gradients_kept
from prunecli.training.states import snapshot


class Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.stage1 = nn.Sequential(
            nn.Conv2d(4, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
        )
        self.stage2 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))


def still_training(model: nn.Module) -> set[str]:
    return {name for name, each in model.named_parameters() if each.requires_grad}


@pytest.mark.parametrize(
    ("globs", "frozen", "left"),
    [
        ((), (), {"stem", "stage1", "stage2", "head"}),
        (("stem",), ("stem",), {"stage1", "stage2", "head"}),
        (("stage*",), ("stage1", "stage2"), {"stem", "head"}),
        (("st[ea][mg]*", "head"), ("stem", "stage1", "stage2", "head"), None),
        (("head", "stem", "stem.0"), ("stem", "head"), {"stage1", "stage2"}),
        (("stage?.0",), ("stage1.0", "stage2.0"), {"stem", "stage1", "stage2", "head"}),
        (("*.1",), ("stem.1", "stage1.1", "stage2.1"), {"stem", "stage1", "stage2", "head"}),
    ],
)
def test_globs_over_module_names(
    globs: tuple[str, ...], frozen: tuple[str, ...], left: set[str] | None
) -> None:
    model = Stages()
    if left is None:
        with pytest.raises(WrongUse, match="nothing is left to train"):
            freeze(model, globs)
        assert len(still_training(model)) == len(list(model.parameters()))
        return
    assert freeze(model, globs) == frozen
    found = still_training(model)
    assert {name.partition(".")[0] for name in found} == left
    inside = {name for name, _ in model.named_parameters() if name.startswith(tuple(f"{n}." for n in frozen))}
    assert found == {name for name, _ in model.named_parameters()} - inside


def test_a_glob_that_matches_nothing_is_refused_with_the_nearest_name_and_nothing_changed() -> None:
    model = Stages()
    with pytest.raises(WrongUse, match="no module is called 'stage3'") as caught:
        freeze(model, ["stem", "stage3"])
    assert caught.value.hints[0] in ("did you mean 'stage1'?", "did you mean 'stage2'?")
    assert caught.value.hints[1] == "the outermost modules: stem, stage1, stage2, head"
    assert len(still_training(model)) == len(list(model.parameters()))


def test_capitals_count() -> None:
    with pytest.raises(WrongUse):
        freeze(Stages(), ["STEM"])


def test_a_shared_weight_is_frozen_wherever_it_is() -> None:
    model = networks.TiedWeights()
    assert freeze(model, ["again"]) == ("again",)
    assert not model.first.weight.requires_grad
    assert model.second.weight.requires_grad


def test_a_module_with_two_names_is_found_by_either() -> None:
    model = networks.Plain()
    model.alias = model.conv1
    assert freeze(model, ["alias"]) == ("alias",)
    assert not model.conv1.weight.requires_grad


def test_what_a_strategy_had_already_frozen_counts_as_frozen() -> None:
    model = Stages()
    model.head.requires_grad_(False)
    with pytest.raises(WrongUse, match="nothing is left"):
        freeze(model, ["st*"])


def test_frozen_statistics_do_not_move_and_the_others_do() -> None:
    model = Stages()
    names = freeze(model, ["stem", "stage1"])
    model.train()
    frozen_modes(model, names)
    before = snapshot(model)
    model(torch.randn(6, 3, 8, 8))
    after = snapshot(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"stage2.1.running_mean", "stage2.1.running_var", "stage2.1.num_batches_tracked"}
    assert model.stem.training
    assert model.stage2[2].training


def test_a_frozen_norm_by_its_own_name() -> None:
    model = Stages()
    names = freeze(model, ["stage2.1"])
    model.train()
    frozen_modes(model, names)
    assert not model.stage2[1].training
    assert model.stem[1].training


def test_a_frozen_beginning_is_not_run_backward() -> None:
    model = Stages()
    names = freeze(model, ["stem", "stage1"])
    model.train()
    frozen_modes(model, names)
    outputs = {}
    for name in ("stem", "stage1", "stage2"):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _, __, output, name=name: outputs.__setitem__(name, output))
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    assert outputs["stem"].grad_fn is None
    assert outputs["stage1"].grad_fn is None
    assert outputs["stage2"].grad_fn is not None
    got = {name for name, each in model.named_parameters() if each.grad is not None}
    assert {name.partition(".")[0] for name in got} == {"stage2", "head"}


VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"ema_decay": 0.9},
    {"accumulate": 2, "clip": 1.0},
    {"precision": "bfloat16"},
    {"mixup": 0.4, "augment": "cifar"},
    {"similarity": 1.0, "taught": True},
    {"optimiser": "adamw", "taught": True},
)


@pytest.mark.parametrize("variant", VARIANTS, ids=[",".join(each) or "plain" for each in VARIANTS])
def test_a_training_does_not_run_its_frozen_beginning_backward(
    variant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "CACHED_BYTES", 0)  # what is kept is not run at all
    model, teacher = Stages(), Stages()
    model.head = teacher.head = nn.Linear(4, training_runs.CLASSES)
    asked = {"epochs": 2, "batch_size": 24, "freeze": ("stem", "stage1"), **variant}
    taught = teacher if asked.pop("taught", False) else None
    trained: list[tuple[str, bool, bool, bool]] = []

    def look(name: str, module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        laid_last = output.is_contiguous(memory_format=torch.channels_last)
        if module.training and len(output) == 24:
            trained.append((name, inputs[0].requires_grad, output.requires_grad, laid_last))

    for name in ("stem", "stage1", "stage2"):
        model.get_submodule(name).register_forward_hook(partial(look, name))
    fit(model, training_runs.data(), settings=FitSettings(**asked), teacher=taught)
    assert set(trained) == {
        ("stem", False, False, True),
        ("stage1", False, False, False),  # an instance norm puts the channels first again
        ("stage2", False, True, True),
    }
    assert len(trained) == 2 * 3 * 3  # epochs, steps, stages


def test_gradients_kept_puts_back_what_was_there() -> None:
    model = Stages()
    model.stem[0].bias.requires_grad_(False)
    before = still_training(model)
    with gradients_kept(model):
        freeze(model, ["stem", "stage1"])
        assert still_training(model) != before
    assert still_training(model) == before
