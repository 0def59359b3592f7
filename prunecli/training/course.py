"""Where a run stands: its place, the epochs that are done, the best state so far; kept and taken up again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunecli.processes import Processes
from prunecli.training.losses import LossLog
from prunecli.training.replicas import buffers_of_all, optimiser_tensors, restore_optimiser
from prunecli.training.resuming import RunState
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.training.states import named_tensors, restore, snapshot
from prunecli.training.stepping import Stepper


class Course:
    """The place of a run (`step` of the optimiser in `epoch`, both from 0) and what it has come to.

    `losses` are those of the epoch so far, `seconds` its training time. `history` are the epochs that are
    done, `best` is the best of those that count and `best_state` what the network was then, or at first.
    """

    def __init__(
        self, stepper: Stepper, settings: FitSettings, *, processes: Processes, look_every: int
    ) -> None:
        self.stepper = stepper
        self.settings = settings
        self.processes = processes
        self.look_every = look_every
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.best_state = snapshot(stepper.replica.network)
        self.waited = 0
        self._enter(0)

    def _enter(self, epoch: int) -> None:
        self.epoch, self.step, self.seconds = epoch, 0, 0.0
        self.losses = LossLog(epoch, look_every=self.look_every)

    @property
    def over(self) -> bool:
        """Whether the epochs are done, or the patience is at its end."""
        patience = self.settings.patience
        return self.epoch >= self.settings.epochs or (patience is not None and self.waited >= patience)

    def take(self, record: EpochRecord, *, counts: bool) -> None:
        """The epoch was judged; where it `counts`, the state is copied if it is the best."""
        self.history.append(record)
        if not counts:
            return
        risen = self.best is None or record.accuracy > self.best.accuracy + self.settings.min_delta
        self.waited = 0 if risen else self.waited + 1
        if _better(record, self.best):
            self.best = record
            self.best_state = snapshot(self.stepper.replica.network)

    def go_on(self) -> None:
        """To the beginning of the next epoch."""
        self._enter(self.epoch + 1)

    def state(self, *, run: str, hooks: dict[str, Any]) -> RunState:
        """All that is needed to go on from here; all processes call it together."""
        replica, stepper = self.stepper.replica, self.stepper
        parts = {
            "model": snapshot(replica.network),
            "best": self.best_state if self.best is not None else {},
            "average": {} if stepper.average is None else stepper.average.tensors(),
        }
        tensors = {
            f"{part}/{name}": replica.whole(tensor)
            for part, found in parts.items()
            for name, tensor in found.items()
        }
        others = buffers_of_all(replica.network, self.processes)
        for part, found in (
            ("optimiser", optimiser_tensors(replica)),
            ("process", others),
            ("losses", self.losses.tensors()),
        ):
            tensors.update({f"{part}/{name}": value for name, value in found.items()})
        return RunState(
            epoch=self.epoch,
            step=self.step,
            tensors=tensors,
            history=tuple(self.history),
            best=None if self.best is None else self.best.epoch,
            waited=self.waited,
            figures={**stepper.precision.state(), "seconds": self.seconds},
            run=run,
            steps_done=stepper.done,
            hooks=hooks,
        )

    @torch.no_grad()
    def resume(self, state: RunState, device: torch.device) -> None:
        """Put everything of a `state` back, but for what a strategy keeps."""
        replica, stepper = self.stepper.replica, self.stepper
        whole, own = state.part("model"), state.part(f"process/{self.processes.index}")
        for name, tensor in named_tensors(replica.network):
            replica.put(tensor, own.get(name, whole[name]))
        restore_optimiser(replica, state.part("optimiser"))
        if stepper.average is not None:
            stepper.average.restore(state.part("average"), put=replica.put)
        stepper.done = state.steps_done
        stepper.precision.restore(state.figures)
        self.history = list(state.history)
        if state.best is not None:
            self.best = self.history[state.best]
            best = state.part("best")
            for name, tensor in self.best_state.items():
                replica.put(tensor, best[name])
        self.waited = state.waited
        self._enter(state.epoch)
        self.step, self.seconds = state.step, state.figures["seconds"]
        self.losses.restore(state.part("losses"), device)

    def finish(self, model: nn.Module) -> FitResult:
        """Restore the best state; without any epoch that counted, the last one stays."""
        held = self.best or self.history[-1]
        if self.best is not None:
            restore(self.stepper.replica.network, self.best_state)
        self.stepper.replica.finish(model)
        early = len(self.history) < self.settings.epochs
        return FitResult(tuple(self.history), held.epoch, held.accuracy, stopped_early=early)


def _better(record: EpochRecord, best: EpochRecord | None) -> bool:
    return best is None or (record.accuracy, -record.loss) > (best.accuracy, -best.loss)
