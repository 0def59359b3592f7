from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import training_runs
from torch import Tensor, nn
from torch.nn import functional

from prunecli.errors import Interrupted
from prunecli.interruption import note
from prunecli.training import FitResult, FitSettings, Hooks, caching, fit
from prunecli.training.batches import Batches
from prunecli.training.freezing import freeze, frozen_modes
from prunecli.training.hooks import Hooks as Defaults
from prunecli.training.resuming import Keeper, RunState, open_run

ORIGIN = training_runs.ORIGIN


class Counting(nn.Conv2d):
    """Counts the images that it really convolves, in training and in evaluation mode."""

    def __init__(self, *arguments: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen = {True: 0, False: 0}

    def forward(self, images: Tensor) -> Tensor:
        self.seen[self.training] += len(images)
        return super().forward(images)


class Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Counting(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, training_runs.CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.relu(self.stem(images), inplace=True)
        maps = self.last(self.body(maps).relu()).relu()
        logits: Tensor = self.head(self.drop(self.pool(maps).flatten(1)))
        return logits


def stages(seed: int = 3) -> Stages:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Stages()
        for module in model.modules():  # statistics that are no 0 and 1
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                module.running_mean.normal_()
        return model


def settings(**other: Any) -> FitSettings:
    given = {"epochs": 3, "lr": 0.05, "batch_size": 16, "freeze": ("stem", "body"), **other}
    return FitSettings(**given)


def trained(
    model: Stages, *, teacher: nn.Module | None = None, hooks: Hooks | None = None, **other: Any
) -> tuple[FitResult, dict[bool, int]]:
    result = fit(model, training_runs.data(), settings=settings(**other), teacher=teacher, hooks=hooks)
    seen: dict[bool, int] = model.stem[0].seen
    return result, seen


@contextmanager
def no_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caching, "CACHED_BYTES", 0)
        yield


def curve(result: FitResult) -> list[tuple[float, ...]]:
    return [(each.train_loss, each.loss, each.accuracy, each.lr) for each in result.history]


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"freeze": ("stem",)},
    {"freeze": ("stem", "body", "last")},
    {"freeze": ("stem", "body.0")},
    {"batch_size": 7, "accumulate": 3, "clip": 0.5},
    {"ema_decay": 0.9, "optimiser": "adamw", "lr": 0.01, "label_smoothing": 0.1},
    {"precision": "bfloat16"},
)


@pytest.mark.parametrize("variant", VARIANTS, ids=[",".join(each) or "plain" for each in VARIANTS])
@pytest.mark.parametrize("taught", [False, True])
def test_the_result_is_that_of_running_the_beginning_each_time(
    variant: dict[str, Any], *, taught: bool
) -> None:
    models = [stages(), stages()]
    teacher = stages(4) if taught else None
    cached, seen = trained(models[0], teacher=teacher, **variant)
    with no_cache():
        whole, seen_each_time = trained(models[1], teacher=teacher, **variant)
    assert curve(cached) == curve(whole)
    assert same(models[0].state_dict(), models[1].state_dict())
    # 72 images in three epochs; with the cache once, and a few that it was tried with.
    assert seen_each_time[True] >= 3 * 72
    assert 72 <= seen[True] <= 72 + 20
    assert seen[False] == seen_each_time[False]  # the validation part is always run whole


def test_similarity_still_sees_the_map_that_it_compares() -> None:
    # Behind the last map, which is that of `last`, the network could be taken up at its pooling.
    for frozen in (("stem", "body"), ("stem", "body", "last")):
        models = [stages(), stages()]
        asked: dict[str, Any] = {"similarity": 3.0, "freeze": frozen, "teacher": stages(4)}
        cached, seen = trained(models[0], **asked)
        with no_cache():
            whole, _ = trained(models[1], **asked)
        assert curve(cached) == curve(whole)
        assert same(models[0].state_dict(), models[1].state_dict())
        assert seen[True] < 2 * 72


class Masks(Hooks):
    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        with torch.no_grad():
            model.get_parameter("stem.0.weight")[epoch] = 0


class Watches(Hooks):
    def begin(self, model: nn.Module, steps: int) -> None:
        with torch.no_grad():
            model.get_parameter("stem.0.weight")[0] = 0

    def may_be_best(self, epoch: int) -> bool:
        return epoch == 2


@pytest.mark.parametrize(
    ("other", "runs", "tried"),
    [
        ({"augment": "light"}, 3, 0),
        ({"augment": "none+randaugment"}, 3, 0),
        ({"mixup": 0.2}, 3, 0),
        ({"cutmix": 0.2}, 3, 0),
        ({"epochs": 1}, 1, 0),
        ({"freeze": ()}, 3, 0),
        ({"freeze": ("body",)}, 3, 4),
        ({"hooks": Masks()}, 3, 0),
    ],
)
def test_where_inputs_or_weights_change_nothing_is_kept(other: dict[str, Any], runs: int, tried: int) -> None:
    assert trained(stages(), **other)[1][True] == runs * 72 + tried


def test_a_strategy_that_changes_weights_at_the_beginning_only_does_no_harm() -> None:
    models = [stages(), stages()]
    cached, seen = trained(models[0], hooks=Watches())
    with no_cache():
        whole, _ = trained(models[1], hooks=Watches())
    assert curve(cached) == curve(whole)
    assert same(models[0].state_dict(), models[1].state_dict())
    assert seen[True] < 2 * 72
    assert not models[0].stem[0].weight[0].any()


def test_what_hooks_may_change() -> None:
    class AfterStep(Hooks):
        def after_step(self, model: nn.Module, step: int) -> None:
            """Anything."""

    assert caching.leaves_weights(Defaults())
    assert caching.leaves_weights(Watches())
    assert not caching.leaves_weights(Masks())
    assert not caching.leaves_weights(AfterStep())
    swapped = Defaults()
    swapped.after_epoch = lambda model, epoch: None  # type: ignore[method-assign]
    assert not caching.leaves_weights(swapped)


def test_the_limit_is_bytes_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    body, stem = 72 * 8 * 4 * 4 * 4, 72 * 8 * 8 * 8 * 4
    for limit, kept in ((body, True), (body - 1, False)):
        monkeypatch.setattr(caching, "CACHED_BYTES", limit)
        assert (trained(stages())[1][True] < 2 * 72) == kept
    assert stem > body
    monkeypatch.setattr(caching, "CACHED_BYTES", stem - 1)
    assert trained(stages(), freeze=("stem",))[1][True] >= 3 * 72


class StopsAfter(Keeper):
    """Asks to stop when the state was kept for the given time; no strategy takes part."""

    def save(self, state: RunState) -> None:
        super().save(state)
        if state.steps_done == self.every:
            note(15)


@pytest.mark.parametrize("after", [1, 4, 5, 9, 14])
@pytest.mark.parametrize("cached", [True, False])
def test_a_run_that_goes_on_is_bit_for_bit_the_one_that_never_stopped(
    tmp_path: Path, after: int, *, cached: bool
) -> None:
    whole = stages()
    expected, _ = trained(whole, ema_decay=0.9)
    keeper = StopsAfter(folder=str(tmp_path), every=after, origin=ORIGIN)
    asked = settings(ema_decay=0.9)
    with pytest.raises(Interrupted):
        fit(stages(), training_runs.data(), settings=asked, keeper=keeper)
    model = stages(8)  # all of it comes from the file
    keeper = Keeper(folder=str(tmp_path), origin=ORIGIN, resumed=open_run(str(tmp_path), ORIGIN)[0])
    if cached:
        result = fit(model, training_runs.data(), settings=asked, keeper=keeper)
    else:
        with no_cache():
            result = fit(model, training_runs.data(), settings=asked, keeper=keeper)
    assert curve(result) == curve(expected)
    assert same(model.state_dict(), whole.state_dict())


def test_a_training_that_ends_early_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    model = stages()
    keeper = StopsAfter(folder=str(tmp_path), every=3, origin=ORIGIN)
    with pytest.raises(Interrupted):
        fit(model, training_runs.data(), settings=settings(), keeper=keeper)
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_is_kept_lies_as_it_was_computed() -> None:
    model = stages().to(memory_format=torch.channels_last)
    names = freeze(model, ["stem", "body"])
    model.train()
    frozen_modes(model, names)
    data = training_runs.data()
    train = Batches(data.train, mean=data.mean, std=data.std, batch_size=16, device=torch.device("cpu"))
    cache = caching.cache_beginning(model, train, forward=model)
    assert cache is not None
    chosen = torch.tensor([70, 3, 3, 41])
    images = train.first(72)[0][chosen]
    computed = cache.frontier.outputs(model, images)
    inputs: list[Tensor] = []
    model.last.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with cache.serving(chosen, images.device):
        model(images)
    expected = computed.relu()
    assert torch.allclose(inputs[0], expected, rtol=1e-5)
    assert inputs[0].stride() == expected.stride() != expected.contiguous().stride()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_on_an_accelerator_the_result_is_nearly_the_same(precision: str) -> None:
    models = [stages(), stages()]
    cached, seen = trained(models[0], device="cuda", precision=precision)
    with no_cache():
        whole, _ = trained(models[1], device="cuda", precision=precision)
    losses = [[each.loss for each in result.history] for result in (cached, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert seen[True] < 2 * 72
