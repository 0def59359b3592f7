from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import training_runs
from torch import Tensor, nn

from prunecli.errors import InputRefused, Interrupted, WorkFailed, WrongUse
from prunecli.interruption import note
from prunecli.training import FitSettings, Hooks, fit
from prunecli.training.resuming import FILE, Keeper, RunState, open_run

ORIGIN = training_runs.ORIGIN


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killed(Exception):
    """Stands for a crash: nothing is tidied up for it."""


class CrashAfter(Hooks):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def after_step(self, model: nn.Module, step: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def crashed(folder: Path, settings: FitSettings, *, after: int, every: int = 1) -> None:
    keeper = Keeper(folder=str(folder), every=every, origin=ORIGIN)
    with pytest.raises(Killed):
        fit(
            training_runs.model(),
            training_runs.data(),
            settings=settings,
            keeper=keeper,
            hooks=CrashAfter(after),
        )


def resumed(folder: Path, settings: FitSettings) -> tuple[nn.Module, list[tuple[float, ...]]]:
    state, told = open_run(str(folder), ORIGIN)
    assert told == ()
    model = training_runs.model()
    result = fit(
        model,
        training_runs.data(),
        settings=settings,
        keeper=Keeper(folder=str(folder), origin=ORIGIN, resumed=state),
    )
    return model, [(each.train_loss, each.loss, each.accuracy, each.lr) for each in result.history]


@pytest.mark.parametrize("after", [1, 5, 6, 13])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"optimiser": "adamw", "lr": 0.01, "schedule": "one-cycle"},
        {"ema_decay": None, "cutmix": 1.0, "label_smoothing": 0.1, "augment": "imagenet", "accumulate": 1},
    ],
)
def test_a_resumed_run_ends_bit_for_bit_as_one_that_never_stopped(
    tmp_path: Path, other: dict[str, object], after: int
) -> None:
    settings = training_runs.settings(**other)
    whole = training_runs.model()
    expected = fit(whole, training_runs.data(), settings=settings)
    crashed(tmp_path, settings, after=after)
    model, history = resumed(tmp_path, settings)
    assert same(model.state_dict(), whole.state_dict())
    assert history == [(each.train_loss, each.loss, each.accuracy, each.lr) for each in expected.history]


def test_a_run_resumes_from_its_last_kept_step_and_not_from_its_crash(tmp_path: Path) -> None:
    settings = training_runs.settings()
    whole = training_runs.model()
    fit(whole, training_runs.data(), settings=settings)
    crashed(tmp_path, settings, after=7, every=3)
    assert open_run(str(tmp_path), ORIGIN)[0].step == 6 - 5  # five steps an epoch
    assert same(resumed(tmp_path, settings)[0].state_dict(), whole.state_dict())


def test_ten_kills_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server finds modules by the variable alone, and says nothing of those that it does not find.
    monkeypatch.setenv("PYTHONPATH", str(Path(training_runs.__file__).parent))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["training_runs", "torch._dynamo"])

    def begin(name: str) -> multiprocessing.process.BaseProcess:
        paths = (str(tmp_path / name), str(tmp_path / f"{name}.pt"))
        child = processes.Process(target=training_runs.train_on, args=paths)
        child.start()
        return child

    begin("whole").join()
    moments, positions = random.Random(11), []
    for _ in range(10):
        child = begin("killed")
        positions.append(_advanced(tmp_path / "killed" / FILE, positions[-1] if positions else None))
        time.sleep(moments.uniform(0, 0.02))
        child.kill()
        child.join()
        assert not (tmp_path / "killed.pt").exists()
    begin("killed").join()
    assert len(set(positions)) == 10
    expected, found = (torch.load(tmp_path / f"{name}.pt") for name in ("whole", "killed"))
    assert found["history"] == expected["history"]
    assert same(found["state"], expected["state"])
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [FILE]


def _advanced(state: Path, position: tuple[int, int] | None) -> tuple[int, int]:
    """Wait until the run has kept a later state than the one at `position`; where that is."""
    while True:
        with contextlib.suppress(InputRefused):
            kept, _ = open_run(str(state.parent), ORIGIN)
            if position is None or (kept.epoch, kept.step) > position:
                return kept.epoch, kept.step
        time.sleep(0.002)


def test_an_interruption_finishes_the_step_and_keeps_it(tmp_path: Path) -> None:
    settings = training_runs.settings()
    whole = training_runs.model()
    fit(whole, training_runs.data(), settings=settings)

    class Signalled(CrashAfter):
        def after_step(self, model: nn.Module, step: int) -> None:
            self.left -= 1
            if self.left == 0:
                assert note(15)

    keeper = Keeper(folder=str(tmp_path), origin=ORIGIN)
    with pytest.raises(Interrupted, match="epoch 2, after step 2 of 5") as stopped:
        fit(
            training_runs.model(),
            training_runs.data(),
            settings=settings,
            keeper=keeper,
            hooks=Signalled(7),
        )
    assert (stopped.value.exit_code, stopped.value.kept) == (143, str(tmp_path))
    assert not note(15)  # nothing minds signals any more
    assert same(resumed(tmp_path, settings)[0].state_dict(), whole.state_dict())


def test_a_loss_that_is_not_finite_leaves_the_state_before_its_step(tmp_path: Path) -> None:
    settings = training_runs.settings(accumulate=1, ema_decay=None, clip=None)

    class Spoils(CrashAfter):
        def after_step(self, model: nn.Module, step: int) -> None:
            self.left -= 1
            if self.left == 0:
                with torch.no_grad():
                    model.get_parameter("head.bias").fill_(float("nan"))

    keeper = Keeper(folder=str(tmp_path), every=3, origin=ORIGIN)
    with pytest.raises(WorkFailed, match="the loss is nan in epoch 1, step 6") as failure:
        fit(training_runs.model(), training_runs.data(), settings=settings, keeper=keeper, hooks=Spoils(5))
    assert str(tmp_path) in failure.value.hints[0]
    kept, _ = open_run(str(tmp_path), ORIGIN)
    assert (kept.epoch, kept.step) == (0, 3)  # what came later was spoilt already
    assert all(torch.isfinite(tensor).all() for tensor in kept.tensors.values())


def test_no_state_and_the_state_of_another_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no interrupted run"):
        open_run(str(tmp_path), ORIGIN)
    keeper = Keeper(folder=str(tmp_path), origin={"epochs": 3, "threads": 1})
    keeper.save(RunState(epoch=0, step=1, tensors={"model/a": torch.ones(2)}))
    with pytest.raises(WrongUse, match="begun with epochs 3, not 4"):
        open_run(str(tmp_path), {"epochs": 4, "threads": 1})
    state, told = open_run(str(tmp_path), {"epochs": 3, "threads": 2})
    assert state.step == 1
    assert told == ("not bit for bit the same run: threads 1 → 2",)
    keeper.clear()
    assert not tmp_path.exists()
