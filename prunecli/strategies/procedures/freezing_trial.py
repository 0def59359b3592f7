"""Which layers to freeze: prune one block, train a little, see which convolutions hardly change.

Hu et al. 2025 (arXiv:2505.07411). The paper's code trains on all images; `TRIAL_IMAGES` are enough to put the
layers in an order, and a trial should cost less than what freezing saves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import PruningTask
from prunecli.strategies.procedures.blocks import blocks_of
from prunecli.strategies.procedures.foresight import planned_once
from prunecli.strategies.procedures.sampling import FEW, sample
from prunecli.strategies.schedules import BLOCKS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunecli.graph.channel_graph import ChannelGraph

TRIAL_IMAGES = 500
TRIAL_RATE = 0.001


@dataclass(frozen=True, eq=False)
class FreezingTrial:
    """The weights (CPU) of the convolutions before and after a trial's training, and in the whole network.

    `norms` has the batch norm that follows a convolution, where one does. `images_per_second` are those of
    the training, with nothing frozen and no teacher.
    """

    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    original: Mapping[str, Tensor]
    norms: Mapping[str, str]
    images_per_second: float

    def least_changed(self, share: float) -> tuple[str, ...]:
        """The modules to freeze: the `share` of convolutions that changed least, with their batch norms."""
        from prunecli.training.change import least_changed

        if not share:
            return ()
        chosen = least_changed(self.before, self.after, self.original, share=share)
        return tuple(each for name in chosen for each in (name, self.norms.get(name)) if each is not None)


def freezing_trial(task: PruningTask, first: Bite) -> FreezingTrial:
    """Prune the first block that loses channels in a copy, train it for an epoch, and see what changed.

    The task's network stays as it is, bit for bit.
    """
    from prunecli.surgery.cutting import carry_out
    from prunecli.surgery.planning import plan_part
    from prunecli.training.fitting import fit

    data, settings = task.training()
    whole = dict(task.choose(task.model, first.share).removed)
    removed = _of_one_block(task.graph, whole) if task.made_of().schedule == BLOCKS else whole
    planned = plan_part(task.graph, planned_once(task.graph, whole), removed)
    network = carry_out(planned.plan, copy.deepcopy(task.model))
    before = _weights(network, task.graph)
    few = sample(data.validation, FEW, seed=task.seed)
    trained = fit(
        network,
        replace(data, train=sample(data.train, TRIAL_IMAGES, seed=task.seed), validation=few),
        settings=replace(
            settings,
            epochs=1,
            lr=TRIAL_RATE,
            schedule="constant",
            warmup_epochs=0,
            patience=None,
            ema_decay=None,
        ),
        progress=task.progress,
    )
    return FreezingTrial(
        before=before,
        after=_weights(network, task.graph),
        original=_weights(task.model, task.graph),
        norms={each.name: each.batch_norm for each in task.graph.layers if each.batch_norm is not None},
        images_per_second=trained.history[-1].images_per_second,
    )


def _of_one_block(graph: ChannelGraph, removed: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """What leaves the first block that loses anything."""
    for block in blocks_of(graph):
        found = {name: removed[name] for name in removed if name in block.groups}
        if found:
            return found
    return {}


def _weights(network: nn.Module, graph: ChannelGraph) -> dict[str, Tensor]:
    """Layer → a copy of its weight on the CPU, of the convolutions."""
    from torch.nn.modules.conv import _ConvNd

    return {
        layer.name: network.get_parameter(layer.weight).detach().cpu().clone()
        for layer in graph.layers
        if isinstance(layer.module(network), _ConvNd)
    }
