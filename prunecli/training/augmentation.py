"""Order, shifts and mirror images of an epoch, drawn at once from (seed, epoch) and applied to bytes.

Everything random about an epoch is drawn before its first step, on the CPU: epoch 7 of seed 3 is the same
on every device, whatever ran before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prunecli.data import ImageShape


@dataclass(frozen=True)
class Recipe:
    """`shift` is the furthest shift as a share of the shorter side (at least a pixel), 0 for none."""

    shift: float = 0.0
    mirror: bool = False


# "cifar" is 4 pixels of 32 and mirror images, as since He et al. 2016; "light" keeps left and right.
RECIPES: Mapping[str, Recipe] = {
    "none": Recipe(),
    "light": Recipe(shift=1 / 16),
    "cifar": Recipe(shift=1 / 8, mirror=True),
}


@dataclass(frozen=True)
class EpochPlan:
    """One epoch: `order` (N,) of the images and, for each place in it, how that image is changed.

    `down` and `right` (N,) int64 in 0..2·`margin` are where the window lies in the padded image, `mirrored`
    (N,) bool; all three None without augmentation.
    """

    order: Tensor
    margin: int = 0
    down: Tensor | None = None
    right: Tensor | None = None
    mirrored: Tensor | None = None

    def to(self, device: torch.device) -> EpochPlan:
        """The same plan on `device`."""
        moved = [
            None if tensor is None else tensor.to(device) for tensor in (self.down, self.right, self.mirrored)
        ]
        return EpochPlan(self.order.to(device), self.margin, *moved)


def epoch_seed(seed: int, epoch: int) -> int:
    """One 63-bit number from both; neighbours share nothing."""
    words = np.random.SeedSequence([seed % 2**63, epoch]).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def plan_epoch(count: int, *, image_shape: ImageShape, augment: str, seed: int, epoch: int) -> EpochPlan:
    """Order and augmentation of `count` images for `epoch`, from (seed, epoch) alone."""
    stream = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    order = torch.randperm(count, generator=stream)
    recipe = RECIPES[augment]
    if not recipe.shift and not recipe.mirror:
        return EpochPlan(order)
    margin = max(1, round(min(image_shape[1:]) * recipe.shift)) if recipe.shift else 0
    down, right = torch.randint(0, 2 * margin + 1, (2, count), generator=stream)
    mirrored = torch.randint(0, 2, (count,), generator=stream).bool() & recipe.mirror
    return EpochPlan(order, margin, down, right, mirrored)


def shift_and_mirror(images: Tensor, *, margin: int, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Pad with zeros (black), cut a window of the old size, mirror.  (N, C, H, W) uint8 → (N, C, H, W) uint8.

    One gather over flat pixel indices: seven times as fast as indexing four dimensions.
    """
    count, channels, height, width = images.shape
    padded = functional.pad(images, (margin,) * 4)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    flat = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).reshape(count, 1, height * width)
    window = padded.reshape(count, channels, -1).gather(2, flat.expand(count, channels, height * width))
    return window.reshape(images.shape)
