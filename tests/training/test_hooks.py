from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import training_runs
from torch import nn

from prunecli.checkpoints import read_checkpoint, write_checkpoint
from prunecli.errors import Interrupted
from prunecli.interruption import note
from prunecli.training import FitSettings, Hooks, fit
from prunecli.training.resuming import FILE, Keeper, RunState, open_run

ORIGIN = training_runs.ORIGIN


class Masking(Hooks):
    """Silences one filter more every second epoch, by a list that only it knows; steps are counted."""

    def __init__(self, *, stop_every: int | None = None) -> None:
        self.stop_every = stop_every
        self.steps: list[int] = []
        self.begun: list[int] = []
        self.counted = 0
        self.silent: list[int] = []

    def begin(self, model: nn.Module, steps: int) -> None:
        self.begun.append(steps)
        self.silent = [4]
        self._mask(model)

    def after_step(self, model: nn.Module, step: int) -> None:
        self.steps.append(step)
        self.counted += 1
        self._mask(model)
        if self.stop_every and self.counted % self.stop_every == 0:
            assert note(15)

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        self.silent.append(self.counted % 4)
        self._mask(model)

    def may_be_best(self, epoch: int) -> bool:
        return epoch > 0

    def state(self) -> dict[str, Any]:
        return {"silent": self.silent, "counted": self.counted}

    def restore(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        self.silent, self.counted = list(state["silent"]), state["counted"]

    @torch.no_grad()
    def _mask(self, model: nn.Module) -> None:
        model.get_parameter("conv.weight")[self.silent] = 0


def interrupted_again_and_again(folder: Path, settings: FitSettings, every: int) -> tuple[nn.Module, Masking]:
    """Interrupted after every `every` steps, taken up by a new network and new hooks each time."""
    steps: list[int] = []
    keeper = Keeper(folder=str(folder), origin=ORIGIN)
    for _ in range(40):
        model, hooks = training_runs.model(), Masking(stop_every=every)
        try:
            fit(model, training_runs.data(), settings=settings, keeper=keeper, hooks=hooks)
        except Interrupted:
            steps += hooks.steps
            state, _ = open_run(str(folder), ORIGIN)
            keeper = Keeper(folder=str(folder), origin=ORIGIN, resumed=state)
        else:
            hooks.steps = steps + hooks.steps
            return model, hooks
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("every", [1, 3, 5])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_run_with_hooks_that_is_interrupted_ends_bit_for_bit_as_one_that_never_was(
    tmp_path: Path, every: int, ema: float | None
) -> None:
    settings = training_runs.settings(ema_decay=ema)  # five steps an epoch, three epochs
    whole, hooks = training_runs.model(), Masking()
    fit(whole, training_runs.data(), settings=settings, hooks=hooks)
    model, again = interrupted_again_and_again(tmp_path, settings, every)
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert again.steps == hooks.steps == list(range(15))
    assert again.silent == hooks.silent == [4, 1, 2, 3]
    assert (hooks.begun, again.begun) == ([5], [])
    # An average remembers what a filter was before it was silenced.
    assert not model.get_parameter("conv.weight")[[4] if ema else [4, 1]].any()


def test_begin_comes_before_the_first_step_and_the_average_starts_from_it() -> None:
    class Begins(Hooks):
        first: torch.Tensor | None = None

        def begin(self, model: nn.Module, steps: int) -> None:
            with torch.no_grad():
                model.get_parameter("conv.weight").zero_()

        def after_step(self, model: nn.Module, step: int) -> None:
            if step == 0:
                self.first = model.get_parameter("conv.weight").clone()

    hooks = Begins()
    model = training_runs.model()
    # No gradient reaches a filter whose map is zero for its own sake; the rate is far too small to see.
    fit(model, training_runs.data(), settings=training_runs.settings(lr=1e-9, epochs=1), hooks=hooks)
    assert hooks.first is not None
    assert hooks.first.abs().max() < 1e-6
    assert model.get_parameter("conv.weight").abs().max() < 1e-6  # the average is what is kept


def test_what_fails_in_begin_leaves_the_network_as_it_was() -> None:
    class Fails(Hooks):
        def begin(self, model: nn.Module, steps: int) -> None:
            with torch.no_grad():
                model.get_parameter("conv.weight").zero_()
            raise ValueError("no")

    model, before = training_runs.model(), training_runs.model().state_dict()
    with pytest.raises(ValueError, match="no"):
        fit(model, training_runs.data(), settings=training_runs.settings(), hooks=Fails())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_state_of_an_older_version_opens_without_hooks(tmp_path: Path) -> None:
    keeper = Keeper(folder=str(tmp_path), origin=ORIGIN)
    keeper.save(RunState(epoch=1, step=2, tensors={"model/a": torch.ones(2)}, hooks={"mask": [1, 2]}))
    assert open_run(str(tmp_path), ORIGIN)[0].hooks == {"mask": [1, 2]}
    kept = read_checkpoint(tmp_path / FILE)
    document = json.loads(json.dumps(kept.document))
    del document["hooks"]
    write_checkpoint(tmp_path / FILE, kept.tensors, document, force=True)
    state, _ = open_run(str(tmp_path), ORIGIN)
    assert (state.epoch, state.step, state.hooks) == (1, 2, {})


def test_the_defaults_keep_nothing() -> None:
    model = training_runs.model()
    assert Hooks().state() == {}
    Hooks().restore(model, {})
    Hooks().begin(model, 3)
