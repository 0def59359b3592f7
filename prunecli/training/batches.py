"""Batches of normalised images: from bytes in memory by one gather, from files by reading ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from prunecli.data import ImageFiles, Split
from prunecli.data.pixels import byte_scale, scale_bytes
from prunecli.errors import InputRefused
from prunecli.processes import current
from prunecli.training.augmentation import EpochPlan
from prunecli.training.mixing import Mixing, batch_mixer
from prunecli.training.prefetching import begun_ahead
from prunecli.training.random_augment import random_augmenter
from prunecli.training.sharing import WHOLE, Share

__all__ = ["Batch", "Batches", "Mixing", "Share", "fits", "floating_dtype", "nothing", "shared_batches"]

# A set that takes at most this share of the accelerator's free memory is kept there.
_SHARE_OF_DEVICE = 0.25

Batch = tuple[Tensor, Tensor]


def nothing(_step: int) -> None:
    """What is done before a step if nobody asks for more."""


class Batches:
    """The images of a split, or one process's share of them, as normalised batches on `device`.

    A batch is images (B, C, H, W) in `dtype` and labels (B,) int64, or (B, classes) in `dtype` once they are
    mixed. `batch_size` is that of one process. Bytes in memory lie on the device where they fit into a
    quarter of its free memory, else on the CPU; images on disk are read two batches ahead, and what reading
    raises comes out at the batch that needs it.
    """

    def __init__(
        self,
        split: Split,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        share: Share = WHOLE,
    ) -> None:
        if len(split) == 0:
            raise InputRefused("there are no images in this part of the data")
        self.batch_size = batch_size
        self.share = share
        self._device = device
        self._dtype = dtype
        self._image_shape = split.image_shape
        self._classes = split.classes
        self._shift, self._factor = byte_scale(mean, std, channels=split.image_shape[0], device=device)
        here = split.in_memory and fits(split.images.nbytes, device)
        self._home = device if here else torch.device("cpu")
        images = split.images
        self._images = images if isinstance(images, ImageFiles) else images.to(self._home)
        self._labels = split.labels.to(self._home)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Batch]:
        """The same as `in_order`, at every iteration."""
        return self.in_order()

    @property
    def labels(self) -> Tensor:
        """The labels (N,) int64 of all images, whichever process this is."""
        return self._labels

    @property
    def device(self) -> torch.device:
        """Where the batches lie."""
        return self._device

    def first(self, count: int) -> Batch:
        """The first `count` images, or all if there are fewer: the same in every process."""
        return self._ready(self._images[:count], self._labels[:count])

    def in_order(self) -> Iterator[Batch]:
        """Every image of this process's share once, as they lie: batch k is of process k % count."""
        starts = range(self.share.index * self.batch_size, len(self), self.batch_size * self.share.count)
        parts = [slice(start, start + self.batch_size) for start in starts]
        with closing(self._each(partial(self._images.__getitem__, part) for part in parts)) as found:
            for part, images in zip(parts, found, strict=True):
                yield self._ready(images, self._labels[part])

    def steps(self) -> int:
        """How many batches `by_plan` gives, in every process; no last batch that batch norm cannot train on.

        Raises InputRefused when there are fewer images than processes.
        """
        return self.share.steps(len(self), self.batch_size)

    def global_size(self, step: int) -> int:
        """How many images `step` (from 0) has over all processes."""
        return self.share.size(step, len(self), self.batch_size)

    def chosen(self, plan: EpochPlan, step: int) -> Tensor:
        """The indices (B,) of the images that this process has at `step` (from 0) of the plan."""
        return plan.order[self.share.part(step, len(self), self.batch_size)]

    def by_plan(
        self,
        plan: EpochPlan,
        *,
        start: int = 0,
        mixing: Mixing | None = None,
        before: Callable[[int], None] = nothing,
    ) -> Generator[Batch, None, None]:
        """The images in the plan's order, augmented as it says, from step `start` (from 0) on.

        `before(step)` is called before anything of that step is drawn from torch's global generator: what
        RandAugment and `mixing` draw, and nothing else. Where it seeds the generator by the step, the batches
        from `start` on are those of an epoch begun at 0.
        """
        plan = plan.to(self._home)
        augment = random_augmenter(self._image_shape) if plan.randaugment else None
        mix = batch_mixer(mixing, classes=self._classes) if mixing else None
        steps = range(start, self.steps())
        parts = [self.share.part(step, len(self), self.batch_size) for step in steps]
        with closing(self._each(partial(self._changed, plan, part) for part in parts)) as found:
            for step, part, images in zip(steps, parts, found, strict=True):
                before(step)
                augmented = images if augment is None else augment(images)
                batch = self._ready(augmented, self._labels.index_select(0, plan.order[part]))
                yield batch if mix is None else mix(*batch)

    def _each(self, tasks: Iterable[Callable[[], Tensor]]) -> Generator[Tensor, None, None]:
        """The results of the tasks: one at a time from memory, ahead of time from disk."""
        return begun_ahead(tasks) if isinstance(self._images, ImageFiles) else (task() for task in tasks)

    def _changed(self, plan: EpochPlan, part: slice) -> Tensor:
        """The bytes of the images at the places `part` of the plan, as it changes them."""
        chosen = plan.order[part]
        if not isinstance(self._images, ImageFiles):
            return plan.changed(self._images.index_select(0, chosen), part)
        if plan.boxes is None:
            return plan.changed(self._images[chosen], part)
        cropped = self._images.cropped(chosen, plan.boxes[part])
        return replace(plan, boxes=None).changed(cropped, part)

    def _ready(self, images: Tensor, labels: Tensor) -> Batch:
        images = scale_bytes(images.to(self._device), self._shift, self._factor)
        return images.to(self._dtype), labels.to(self._device)


def shared_batches(
    model: nn.Module,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    device: torch.device,
) -> Batches:
    """The share of the images of `split` that this process has, in the numbers that `model` computes in."""
    processes = current()
    return Batches(
        split,
        mean=mean,
        std=std,
        batch_size=batch_size,
        device=device,
        dtype=floating_dtype(model),
        share=Share(processes.index, processes.count),
    )


def floating_dtype(model: nn.Module) -> torch.dtype:
    """What the model computes in: the type of its first floating-point parameter, float32 if it has none."""
    return next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes may be kept on `device`: at most a quarter of what is free on an accelerator."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= free * _SHARE_OF_DEVICE
