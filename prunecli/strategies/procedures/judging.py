"""The accuracy of a network that is cut block by block: what no later cut changes is computed once.

Blocks leave in the order of the forward pass. What the network makes of an image up to the first block that
is still whole stays the same from one look to the next, so it is kept, and the network is taken up behind it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from prunecli.processes import current
from prunecli.strategies.contract import PruningTask
from prunecli.training.caching import CACHED_BYTES
from prunecli.training.evaluation import evaluate, evaluate_batches
from prunecli.training.forward import logits_of
from prunecli.training.freezing import gradients_kept
from prunecli.training.frontier import Frontier, find_frontier
from prunecli.training.running import running

if TYPE_CHECKING:
    from prunecli.training.batches import Batches

# Looks that one place to take up serves: to find it costs about as much as to look at 500 small images.
LOOKS = 8
BATCH = 256
TRIED_IMAGES = 4


@dataclass(frozen=True, eq=False)
class _Kept:
    """A place where `network` can be taken up (None: there is none), with what lies before it by batch."""

    network: nn.Module
    frontier: Frontier | None
    outputs: tuple[Tensor, ...]


class Judging:
    """Looks at the validation part of a task's images."""

    def __init__(self, task: PruningTask) -> None:
        data, self._settings = task.training()
        self._split = data.validation
        self._mean, self._std = self._settings.mean or data.mean, self._settings.std or data.std
        self._kept: _Kept | None = None
        self._looks = 0

    def accuracy(self, network: nn.Module, *, coming: Collection[str] | None = None) -> float:
        """The accuracy (%) of the network.

        `coming` are the names of the tensors that may be different when the same network is looked at again;
        everything else must be as it is now. None where that is not known: then nothing is kept.
        """
        device = self._settings.device
        if coming is None or current().count > 1:
            found = evaluate(
                network, self._split, mean=self._mean, std=self._std, batch_size=BATCH, device=device
            )
            return found.accuracy
        with running(
            network, self._split, mean=self._mean, std=self._std, batch_size=BATCH, device=device
        ) as batches:
            if self._kept is None or self._kept.network is not network or self._looks == LOOKS:
                self._kept, self._looks = _found(network, batches, coming), 0
            self._looks += 1
            if self._kept.frontier is None:
                return evaluate_batches(network, batches).accuracy
            return evaluate_batches(_TakenUp(self._kept, self._kept.frontier), batches).accuracy

    def forget(self) -> None:
        """Nothing that was kept holds any more."""
        self._kept = None


class _TakenUp(nn.Module):
    """The network from its frontier on, for the batches in their order."""

    def __init__(self, kept: _Kept, frontier: Frontier) -> None:
        super().__init__()
        self._kept = kept
        self._frontier = frontier
        self._left = iter(kept.outputs)

    def forward(self, images: Tensor) -> object:
        """What the network gives for the next batch."""
        # A copy, because the network may overwrite it.
        with self._frontier.serving(next(self._left).clone()):
            return self._kept.network(images)


def _found(network: nn.Module, batches: Batches, coming: Collection[str]) -> _Kept:
    """Where the network can be taken up as long as only the tensors `coming` change."""
    sample, _ = batches.first(TRIED_IMAGES)

    def forward(images: Tensor) -> Tensor:
        return logits_of(network(images))

    with gradients_kept(network):
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in coming and parameter.is_floating_point())
        largest = CACHED_BYTES // len(batches)
        frontier = find_frontier(network, sample, forward=forward, largest=largest)
        if frontier is None:
            return _Kept(network, None, ())
        outputs = tuple(frontier.outputs(forward, images) for images, _ in batches.in_order())
    return _Kept(network, frontier, outputs)
