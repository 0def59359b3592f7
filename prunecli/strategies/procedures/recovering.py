"""How a network is trained after a bite: epochs, learning rate, what is frozen, who teaches."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prunecli.progress import remark
from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import PruningTask

if TYPE_CHECKING:
    from torch import nn

    from prunecli.strategies.procedures.judging import Judging
    from prunecli.surgery.plan import Plan
    from prunecli.training.settings import EpochRecord, FitSettings


# Batches of 256 images on which a network is measured again before it is judged: it is judged after every
# bite, and one batch says where means and variances have gone.
JUDGING_BATCHES = 1
SHOWN = 6  # of the frozen modules, in a remark


class Recovering:
    """The recovery of a task's parts over its bites."""

    def __init__(self, task: PruningTask) -> None:
        self.task = task
        self.recovery = task.made_of().recovery
        self.drop = task.made_of().drop
        self.frozen: tuple[str, ...] = ()
        self.trained_after: list[int] = []  # numbers of bites
        self._dense: float | None = None  # validation accuracy (%) of the network before pruning

    def prepare(self, first: Bite) -> None:
        """What is found out once, before the first bite: which layers are to be frozen."""
        if self.recovery.freeze_share:
            from prunecli.strategies.procedures.freezing_trial import freezing_trial

            trial = self.task.trial or freezing_trial(self.task, first)
            self.frozen = trial.least_changed(self.recovery.freeze_share)
            shown = ", ".join(self.frozen[:SHOWN]) + (", …" if len(self.frozen) > SHOWN else "")
            remark(self.task.progress, [f"frozen after a trial, {len(self.frozen)} modules: {shown}"])

    def facts(self) -> dict[str, Any]:
        """What must be known again when the strategy goes on."""
        return {
            "frozen": list(self.frozen),
            "dense": self._dense,
            "trained_after": list(self.trained_after),
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """The same as it was when `facts` were noted."""
        self.frozen, self._dense = tuple(facts["frozen"]), facts["dense"]
        self.trained_after = list(facts["trained_after"])

    def fall(self, network: nn.Module, *, coming: Collection[str] | None = None) -> float:
        """By how many points the validation accuracy is below that of the network before pruning.

        From a fall of the trigger's drop on, the better of two: of the network as it is, and of a copy with
        its batch norms measured again, since nothing must be trained for what that alone makes good. The
        network itself keeps its statistics: the proof of its cut, which comes later, compares them too.
        `coming` are the tensors that may be different at the next look, see `Judging`.
        """
        dense = self.know_dense()
        fall = dense - self._accuracy(network, coming=coming)
        if fall < self.drop or not self.task.recalibrate:
            return fall
        copied = copy.deepcopy(network)
        self._recalibrate(copied, at_most=JUDGING_BATCHES)
        return min(fall, dense - self._accuracy(copied))

    def know_dense(self) -> float:
        """The validation accuracy (%) of the network before pruning, measured once."""
        if self._dense is None:
            self._dense = self._accuracy(self.task.model)
        return self._dense

    def train(
        self, network: nn.Module, bite: Bite, number: int, *, plan: Plan | None, done: int
    ) -> tuple[EpochRecord, ...]:
        """Train the cut network in place; the epochs are counted on from those that are `done`."""
        from prunecli.training.fitting import fit

        data, _ = self.task.training()
        if plan is not None and self.task.earlier is not None:
            _rewind(network, self.task.earlier, plan)
        self._recalibrate(network)
        self._judging.forget()
        result = fit(
            network,
            data,
            settings=self._settings(network, bite, done),
            teacher=self._teacher if self.recovery.distill else None,
            keeper=self.task.diary.training(number),
            progress=self.task.progress,
        )
        network.cpu()
        self.trained_after.append(number)
        return tuple(replace(record, epoch=record.epoch + done) for record in result.history)

    @cached_property
    def _teacher(self) -> nn.Module:
        """A copy of the network before pruning, which a training may move and freeze."""
        return copy.deepcopy(self.task.model)

    def _settings(self, network: nn.Module, bite: Bite, done: int) -> FitSettings:
        _, settings = self.task.training()
        own = replace(
            settings,
            epochs=bite.epochs,
            warmup_epochs=min(settings.warmup_epochs, bite.epochs - 1),
            patience=bite.patience,
            min_delta=self.task.bites.min_delta,
            freeze=(*settings.freeze, *self.frozen),
            seed=settings.seed + done,
        )
        if self.recovery.rate == "fixed":
            return own
        from prunecli.training.pruning_rate import pruning_aware_rate

        left = _convolution_weights(network) / _convolution_weights(self.task.model)
        rate = pruning_aware_rate(
            left,
            base=self.recovery.rate_base,
            p=self.recovery.rate_midpoint,
            beta=self.recovery.rate_steepness,
            delta=self.recovery.rate_fall,
        )
        return replace(own, lr=rate, schedule="constant", warmup_epochs=0)

    def _recalibrate(self, network: nn.Module, *, at_most: int | None = None) -> None:
        from prunecli.training.recalibration import recalibrate_batch_norm

        batches = self.task.recalibrate if at_most is None else min(self.task.recalibrate, at_most)
        if not batches:
            return
        data, settings = self.task.training()
        recalibrate_batch_norm(
            network,
            data.train,
            mean=settings.mean or data.mean,
            std=settings.std or data.std,
            batches=batches,
            seed=settings.seed,
            device=settings.device,
        )

    def _accuracy(self, network: nn.Module, *, coming: Collection[str] | None = None) -> float:
        return self._judging.accuracy(network, coming=coming)

    @cached_property
    def _judging(self) -> Judging:
        from prunecli.strategies.procedures.judging import Judging

        return Judging(self.task)


def _rewind(network: nn.Module, earlier: nn.Module, plan: Plan) -> None:
    """Put the weights of an earlier training back, as far as they are left."""
    from prunecli.surgery.cutting import carry_out

    network.load_state_dict(carry_out(plan, copy.deepcopy(earlier)).state_dict())


def _convolution_weights(network: nn.Module) -> int:
    """How many weights of convolutions are not zero."""
    from torch.nn.modules.conv import _ConvNd

    return sum(int(m.weight.count_nonzero()) for m in network.modules() if isinstance(m, _ConvNd))
