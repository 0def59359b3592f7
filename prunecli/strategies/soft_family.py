"""Hard, soft and in between: hfp, sfp, asfp, srfp, asrfp and ghfp from one update rule.

After every epoch t the filters are ranked anew. S_t are the ⌊N·P·p_t⌋ lowest channels of a group, H_t the
⌊N·P·p_t·λ_t⌋ lowest of those:

    W ← W · (M + α_t · (1 − M) · M_hard)        M = 0 on S_t, M_hard = 0 on H_t, 1 elsewhere

Kept filters stay, soft-pruned ones are scaled by α_t and go on learning, hard-pruned ones are zero and stay
so: their weights and the batch norm behind them are set back to zero after every step. In the end the
channels of the last S_t are removed. The constant that batch norm adds to a zeroed filter goes with them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.removal import remove_channels
from prunecli.strategies.soft_schedules import Schedule, asymptotic, constant, cubic, decay

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunecli.allocation.choosing import Allocation
    from prunecli.training.hooks import Hooks

Chosen = Mapping[str, tuple[int, ...]]
EPOCHS = 20
WHOLE_FROM = 0.99


@dataclass(frozen=True)
class SoftRule:
    """Three schedules make a member of the family: shares of the final ratio, of weight, of hardness."""

    ratio: Schedule
    alpha: Schedule
    hardness: Schedule


PRESETS = {
    "hfp": SoftRule(constant(1.0), constant(0.0), constant(1.0)),
    "sfp": SoftRule(constant(1.0), constant(0.0), constant(0.0)),
    "asfp": SoftRule(asymptotic, constant(0.0), constant(0.0)),
    "srfp": SoftRule(constant(1.0), decay(1.0), constant(0.0)),
    "asrfp": SoftRule(asymptotic, decay(1.0), constant(0.0)),
    "ghfp": SoftRule(cubic, constant(0.0), cubic),
}


class SoftPruning:
    """The update rule over the epochs of one training run."""

    def __init__(self, task: PruningTask, rule: SoftRule, epochs: int) -> None:
        self.task = task
        self.rule = rule
        self.epochs = epochs
        self.allocation: Allocation | None = None
        self._hard: list[tuple[Tensor, int, Tensor]] = []

    def prune(self, model: nn.Module, epoch: int) -> None:
        """Rank, scale what is soft-pruned, zero what is hard; the last epoch prunes the whole ratio."""
        last = epoch == self.epochs - 1
        share = 1.0 if last else _nearly_whole(self.rule.ratio(epoch, self.epochs))
        hardness = _nearly_whole(self.rule.hardness(epoch, self.epochs))
        alpha = 0.0 if last else self.rule.alpha(epoch, self.epochs)
        ranked = self.task.rank(model)
        self.allocation = ranked(share)
        hard = ranked(share * hardness).removed
        soft = {
            name: tuple(set(gone) - set(hard.get(name, ()))) for name, gone in self.allocation.removed.items()
        }
        _scale(self._places(model, soft, whole=False), alpha)
        self._hard = self._places(model, hard, whole=True)
        self.harden()

    def harden(self) -> None:
        """Set hard-pruned filters back to zero."""
        _scale(self._hard, 0.0)

    def finish(self, model: nn.Module) -> None:
        """Make the pruned channels silent, batch norm included, as their removal will."""
        if self.allocation is not None:
            _scale(self._places(model, self.allocation.removed, whole=True), 0.0)

    def _places(self, model: nn.Module, chosen: Chosen, *, whole: bool) -> list[tuple[Tensor, int, Tensor]]:
        """(tensor, axis, positions) of the chosen channels in the tensors that make them.

        Those are the filters and their biases; with `whole` also scale and shift of the batch norm behind.
        """
        import numpy as np
        import torch

        graph = self.task.graph
        marked = graph.marked(chosen)
        places: list[tuple[Tensor, int, Tensor]] = []
        for layer in graph.layers:
            axes = [(layer.weight, layer.filter_axis), (layer.bias, 0)]
            if whole and layer.batch_norm is not None:
                axes += [(f"{layer.batch_norm}.weight", 0), (f"{layer.batch_norm}.bias", 0)]
            for name, axis in axes:
                if name is None or (name, axis) not in graph.origins:
                    continue
                gone = np.flatnonzero(graph.removed_from(name, axis, marked))
                if gone.size:
                    tensor = model.get_parameter(name)
                    places.append((tensor, axis, torch.as_tensor(gone, device=tensor.device)))
        return places


def _nearly_whole(share: float) -> float:
    """Shares from `WHOLE_FROM` on count as one.

    Ours, not the papers': the floor would hold the last filter of a narrow layer back until the last epoch,
    after which nothing can recover from losing it.
    """
    return 1.0 if share >= WHOLE_FROM else share


def _scale(places: list[tuple[Tensor, int, Tensor]], factor: float) -> None:
    import torch

    with torch.no_grad():
        for tensor, axis, positions in places:
            if factor == 0.0:
                tensor.index_fill_(axis, positions, 0.0)
            else:
                tensor.index_copy_(axis, positions, tensor.index_select(axis, positions) * factor)


def hooks_of(pruning: SoftPruning) -> Hooks:
    """What `fit` calls so that `pruning` takes part in its training."""
    from prunecli.training.hooks import Hooks

    class SoftHooks(Hooks):
        """Prunes after every epoch and keeps hard-pruned filters at zero after every step."""

        def after_step(self, model: nn.Module) -> None:
            pruning.harden()

        def after_epoch(self, model: nn.Module, epoch: int) -> None:
            pruning.prune(model, epoch)
            if epoch == pruning.epochs - 1:
                pruning.finish(model)

        def may_be_best(self, epoch: int) -> bool:
            return epoch == pruning.epochs - 1  # before that, not the whole ratio is pruned

    return SoftHooks()


def train_softly(task: PruningTask, rule: SoftRule) -> PruningOutcome:
    """Train the whole network under `rule`, then remove the channels pruned last."""
    from prunecli.training.fitting import fit

    data, settings = task.training()
    pruning = SoftPruning(task, rule, settings.epochs)
    start = time.perf_counter()
    if rule.ratio(0, settings.epochs) == 1.0:  # a constant share holds from the beginning
        pruning.prune(task.model, 0)
    result = fit(task.model, data, settings=settings, progress=task.progress, hooks=hooks_of(pruning))
    seconds = {"train": time.perf_counter() - start}
    task.model.cpu()
    allocation = pruning.allocation
    assert allocation is not None  # fit ran at least one epoch
    return remove_channels(task, task.model, allocation, history=result.history, seconds=seconds)


@strategy("hfp", trains=True, epochs=EPOCHS, source="baseline of Cai et al. 2020, arXiv:2011.03170")
def hard_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Hard: filters chosen before training are zero throughout and never come back."""
    return train_softly(task, PRESETS["hfp"])


@strategy("sfp", trains=True, epochs=EPOCHS, source="He et al. 2018, arXiv:1808.06866")
def soft_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Soft: the lowest filters are zeroed after every epoch and go on learning."""
    return train_softly(task, PRESETS["sfp"])


@strategy("asfp", trains=True, epochs=EPOCHS, source="He et al. 2019, arXiv:1808.07471")
def asymptotic_soft_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Soft, with a ratio that approaches its target exponentially."""
    return train_softly(task, PRESETS["asfp"])


@strategy("srfp", trains=True, epochs=EPOCHS, source="Cai et al. 2020, arXiv:2010.09498")
def softer_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Softer: pruned filters are scaled by a decaying factor in place of zero."""
    return train_softly(task, PRESETS["srfp"])


@strategy("asrfp", trains=True, epochs=EPOCHS, source="Cai et al. 2020, arXiv:2010.09498")
def asymptotic_softer_filter_pruning(task: PruningTask) -> PruningOutcome:
    """Softer, with a ratio that approaches its target exponentially."""
    return train_softly(task, PRESETS["asrfp"])


@strategy("ghfp", trains=True, epochs=EPOCHS, source="Cai et al. 2020, arXiv:2011.03170")
def gradual_hard_filter_pruning(task: PruningTask) -> PruningOutcome:
    """From soft to hard: a growing share of the pruned filters may not recover."""
    return train_softly(task, PRESETS["ghfp"])
