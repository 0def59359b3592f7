"""Along one training: filters are masked, zeroed or scaled while the network learns, and leave at the end.

At every step t of the schedule (an epoch, or so many steps of the optimiser) the filters are ranked anew.
S_t are the ⌊N·P·p_t⌋ lowest channels of a group, H_t the ⌊N·P·p_t·λ_t⌋ lowest of those:

    W ← W · (M + α_t · (1 − M) · M_hard)        M = 0 on S_t, M_hard = 0 on H_t, 1 elsewhere

Kept filters stay, soft-pruned ones are scaled by α_t and go on learning, hard-pruned ones are zero and stay
so: their weights and the batch norm behind them are set back to zero after every step of the optimiser. In
the end the channels of the last S_t are removed. The constant that batch norm adds to a zeroed filter goes
with them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunecli.errors import WrongUse
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.hardness import hardness_rule
from prunecli.strategies.removal import remove_channels
from prunecli.strategies.schedules import shares_in_training
from prunecli.training.hooks import Hooks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunecli.allocation.choosing import Allocation

Chosen = Mapping[str, tuple[int, ...]]
WHOLE_FROM = 0.99


class SoftPruning(Hooks):
    """The update rule over one training run of `epochs`, as the hooks that `fit` calls."""

    def __init__(self, task: PruningTask, epochs: int) -> None:
        self.task = task
        self.parts = task.made_of()
        self.rule = hardness_rule(self.parts.hardness, alpha=self.parts.alpha)
        self.epochs = epochs
        self.steps = 0  # of the optimiser in all
        self.shares: tuple[float, ...] = ()
        self.allocation: Allocation | None = None
        self._hard_chosen: Chosen = {}
        self._hard: list[tuple[Tensor, int, Tensor]] = []

    def begin(self, model: nn.Module, steps: int) -> None:
        """Plan the run; a share that is whole from the beginning holds before the first step."""
        self._plan(steps)
        if self.shares[0] == 1.0:
            self.prune(model, 0)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Keep hard-pruned filters at zero, and prune where that goes by steps."""
        every = self.parts.prune_every
        if every is not None and (step + 1) % every == 0 and step + 1 < self.steps:
            self.prune(model, (step + 1) // every - 1)
        else:
            self.harden()

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """Prune where that goes by epochs; in the end make the pruned channels silent as removal will."""
        last = epoch == self.epochs - 1
        if self.parts.prune_every is None or last:
            self.prune(model, len(self.shares) - 1 if last else epoch)
        if last and self.allocation is not None:
            _scale(self._places(model, self.allocation.removed, whole=True), 0.0)

    def may_be_best(self, epoch: int) -> bool:
        """The last epoch only: before it, not the whole ratio is pruned."""
        return epoch == self.epochs - 1

    def state(self) -> dict[str, Any]:
        """The steps of an epoch, and what is hard."""
        return {
            "steps": self.steps // self.epochs,
            "hard": {n: list(c) for n, c in self._hard_chosen.items()},
        }

    def restore(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Go on: the schedule and the hard filters are as they were."""
        self._plan(int(state["steps"]))
        self._hard_chosen = {name: tuple(chosen) for name, chosen in state["hard"].items()}
        self._hard = self._places(model, self._hard_chosen, whole=True)

    def prune(self, model: nn.Module, point: int) -> None:
        """Rank, scale what is soft-pruned, zero what is hard; the last point prunes the whole ratio."""
        points = len(self.shares)
        share = _nearly_whole(self.shares[point])
        hardness = _nearly_whole(self.rule.hardness(point, points))
        alpha = 0.0 if point == points - 1 else self.rule.alpha(point, points)
        ranked = self.task.rank(model)
        self._hard_chosen = dict(ranked(share * hardness, self._hard_chosen).removed) if hardness else {}
        self.allocation = ranked(share, self._hard_chosen)
        soft = {
            name: tuple(set(gone) - set(self._hard_chosen.get(name, ())))
            for name, gone in self.allocation.removed.items()
        }
        _scale(self._places(model, soft, whole=False), alpha)
        self._hard = self._places(model, self._hard_chosen, whole=True)
        self.harden()

    def harden(self) -> None:
        """Set hard-pruned filters back to zero."""
        _scale(self._hard, 0.0)

    def _plan(self, steps: int) -> None:
        self.steps = steps * self.epochs
        every = self.parts.prune_every
        points = self.epochs if every is None else max(1, self.steps // every)
        self.shares = shares_in_training(self.parts.schedule, self.task.ratio, self.task.bites, points=points)

    def _places(self, model: nn.Module, chosen: Chosen, *, whole: bool) -> list[tuple[Tensor, int, Tensor]]:
        """(tensor, axis, positions) of the chosen channels in the tensors that make them.

        Those are the filters and their biases; with `whole` also scale and shift of the batch norm behind.
        """
        import numpy as np
        import torch

        if not chosen:
            return []
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


def prune_in_training(task: PruningTask) -> PruningOutcome:
    """Train the whole network under the update rule, then remove the channels pruned last."""
    from prunecli.training.fitting import fit

    if task.settings is None:
        raise WrongUse(
            f"filters that are {task.made_of().hardness} are so while the network trains",
            hints=["give it epochs: --epochs 20"],
        )
    data, settings = task.training()
    if settings.ema_decay is not None:
        raise WrongUse(
            f"an average of the weights does not know which filters are {task.made_of().hardness}",
            hints=["leave --ema-decay out, or run finetune with it afterwards"],
        )
    pruning = SoftPruning(task, settings.epochs)
    teacher = copy.deepcopy(task.model) if pruning.parts.recovery.distill else None
    start = time.perf_counter()
    result = fit(
        task.model,
        data,
        settings=settings,
        teacher=teacher,
        keeper=task.diary.training(0),
        hooks=pruning,
        progress=task.progress,
    )
    seconds = {"train": time.perf_counter() - start}
    task.model.cpu()
    assert pruning.allocation is not None  # the last epoch prunes
    return remove_channels(task, task.model, pruning.allocation, history=result.history, seconds=seconds)
