"""What the frozen beginning of a network makes of each training image, computed once and kept in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from prunecli.training.augmentation import RECIPES, Recipe
from prunecli.training.batches import Batches, fits
from prunecli.training.frontier import Forward, Frontier, find_frontier
from prunecli.training.hooks import Hooks
from prunecli.training.settings import FitSettings

# Most that is kept. A fixed number: what a run computes must not depend on the memory that is free.
CACHED_BYTES = 1 << 30

_IMAGES_TRIED = 4


class Cache:
    """The outputs at a frontier for every training image; `store` (N, …) has them as they lie in memory.

    `axes` are the axes of an output in the order in which they lie, the images first.
    """

    def __init__(self, frontier: Frontier, store: Tensor, axes: tuple[int, ...]) -> None:
        self.frontier = frontier
        self._store = store
        self._back = [axes.index(axis) for axis in range(len(axes))]

    def serving(self, chosen: Tensor, device: torch.device) -> AbstractContextManager[None]:
        """Inside, the network is taken up at the frontier, with the images of the indices `chosen` (B,)."""
        kept = self._store.index_select(0, chosen.to(self._store.device)).to(device)
        return self.frontier.serving(kept.permute(self._back))


def inputs_repeat(settings: FitSettings) -> bool:
    """Whether the network sees the same images in every epoch, and in more than one."""
    mixed = settings.mixup > 0 or settings.cutmix > 0
    return settings.epochs > 1 and RECIPES[settings.augment] == Recipe() and not mixed


def leaves_weights(hooks: Hooks) -> bool:
    """Whether a strategy changes no weights once the training has begun."""
    own = (hooks.after_step, hooks.after_epoch)
    defaults = (Hooks.after_step, Hooks.after_epoch)
    return all(
        getattr(each, "__func__", None) is default for each, default in zip(own, defaults, strict=True)
    )


def cache_beginning(
    model: nn.Module, train: Batches, *, forward: Forward, watched: nn.Module | None = None
) -> Cache | None:
    """Run the frozen beginning of `model` on every image of `train`, which this process has alone.

    The images are taken as they lie, in batches of the same size each time, so that a run that goes on
    computes the same. None where nothing is frozen before the first layer that learns, where the network
    cannot be taken up behind it, or where all that would take more than `CACHED_BYTES`.
    """
    if all(each.requires_grad for each in model.parameters()):
        return None
    sample, _ = train.first(_IMAGES_TRIED)
    largest = CACHED_BYTES // len(train)
    frontier = find_frontier(model, sample, forward=forward, largest=largest, watched=watched)
    return None if frontier is None else _filled(frontier, train, forward)


def _filled(frontier: Frontier, train: Batches, forward: Forward) -> Cache:
    store: Tensor | None = None
    axes: tuple[int, ...] = ()
    done = 0
    for images, _ in train.in_order():
        output = frontier.outputs(forward, images)
        if store is None:
            # The rest of the network computes by how its input lies, so that is kept too.
            axes = (0, *sorted(range(1, output.dim()), key=output.stride, reverse=True))
            shape = [output.shape[axis] for axis in axes[1:]]
            home = output.device if fits(len(train) * output[0].nbytes, output.device) else "cpu"
            store = torch.empty(len(train), *shape, dtype=output.dtype, device=home)
        store[done : done + len(images)].copy_(output.permute(axes))
        done += len(images)
    assert store is not None  # a part has at least one image
    return Cache(frontier, store, axes)
