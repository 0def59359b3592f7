"""Batches from images that already lie in memory as bytes: one gather, one conversion, no workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from prunecli.data import Split
from prunecli.data.pixels import byte_scale, scale_bytes
from prunecli.errors import InputRefused
from prunecli.training.augmentation import EpochPlan, shift_and_mirror

# A set that takes at most this share of the accelerator's free memory is kept there.
_SHARE_OF_DEVICE = 0.25

Batch = tuple[Tensor, Tensor]


class Batches:
    """The images of a split as normalised batches on `device`.

    A batch is images (B, C, H, W) in `dtype` and labels (B,) int64. The bytes lie on the device where
    they fit into a quarter of its free memory, else on the CPU.
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
    ) -> None:
        if len(split) == 0:
            raise InputRefused("there are no images in this part of the data")
        self.batch_size = batch_size
        self._device = device
        self._dtype = dtype
        self._shift, self._factor = byte_scale(mean, std, channels=int(split.images.shape[1]), device=device)
        self._home = device if _fits(split, device) else torch.device("cpu")
        self._images = split.images.to(self._home)
        self._labels = split.labels.to(self._home)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Batch]:
        """The same as `in_order`, at every iteration."""
        return self.in_order()

    def in_order(self) -> Iterator[Batch]:
        """Every image once, as they lie."""
        for start in range(0, len(self), self.batch_size):
            stop = start + self.batch_size
            yield self._ready(self._images[start:stop], self._labels[start:stop])

    def steps(self) -> int:
        """How many batches `by_plan` gives; no last batch of one image, which batch norm cannot train on."""
        whole, rest = divmod(len(self), self.batch_size)
        return max(1, whole + (rest > 1))

    def by_plan(self, plan: EpochPlan) -> Iterator[Batch]:
        """The images in the plan's order, augmented as it says."""
        plan = plan.to(self._home)
        for step in range(self.steps()):
            part = slice(step * self.batch_size, (step + 1) * self.batch_size)
            chosen = plan.order[part]
            images = self._images.index_select(0, chosen)
            if plan.down is not None and plan.right is not None and plan.mirrored is not None:
                images = shift_and_mirror(
                    images,
                    margin=plan.margin,
                    down=plan.down[part],
                    right=plan.right[part],
                    mirrored=plan.mirrored[part],
                )
            yield self._ready(images, self._labels.index_select(0, chosen))

    def _ready(self, images: Tensor, labels: Tensor) -> Batch:
        images = scale_bytes(images.to(self._device), self._shift, self._factor)
        return images.to(self._dtype), labels.to(self._device)


def floating_dtype(model: nn.Module) -> torch.dtype:
    """What the model computes in: the type of its first floating-point parameter, float32 if it has none."""
    return next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)


def _fits(split: Split, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return split.images.nbytes <= free * _SHARE_OF_DEVICE
