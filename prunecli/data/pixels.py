"""From bytes to what a network reads: uint8 images to normalised floats.

A checkpoint's mean and standard deviation are on the 0..1 scale; they are scaled to bytes once, so
that a batch costs one subtraction and one multiplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunecli.errors import InputRefused

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from prunecli.data.splits import Split

# How many images of a part on disk its mean and deviation are measured on.
SAMPLE = 2048


def byte_scale(
    mean: Sequence[float], std: Sequence[float], *, channels: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Shift and factor, each (C, 1, 1) float32, so that (bytes − shift) · factor is normalised.

    Raises InputRefused when there is not one mean and one positive deviation a channel: broadcasting
    would otherwise make three channels of one.
    """
    import torch

    if len(mean) != channels or len(std) != channels:
        raise InputRefused(
            f"the normalisation has {len(mean)} means and {len(std)} deviations for images of"
            f" {channels} channel{'s' if channels != 1 else ''}"
        )
    if min(std) <= 0:
        raise InputRefused(f"a standard deviation of the normalisation is not positive: {tuple(std)}")
    shift = torch.tensor(mean, dtype=torch.float64) * 255
    factor = 1 / (torch.tensor(std, dtype=torch.float64) * 255)
    shape = (channels, 1, 1)
    return shift.float().reshape(shape).to(device), factor.float().reshape(shape).to(device)


def scale_bytes(images: Tensor, shift: Tensor, factor: Tensor) -> Tensor:
    """(N, C, H, W) uint8 → float32 on the same device, by the two constants of `byte_scale`."""
    return images.float().sub_(shift).mul_(factor)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images / 255 − mean) / std.                                 (N, C, H, W) uint8 → (N, C, H, W) float32.

    `mean` and `std` have one number a channel on the 0..1 scale; raises InputRefused otherwise.
    """
    shift, factor = byte_scale(mean, std, channels=int(images.shape[1]), device=images.device)
    return scale_bytes(images, shift, factor)


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation a channel on the 0..1 scale, to four digits as they are usually written.

    Of images on disk `SAMPLE` are measured, evenly spread over the part.
    """
    import torch

    count = len(split)
    spread = torch.linspace(0, count - 1, min(count, SAMPLE)).round().long()
    images = split.pixels(slice(None) if split.in_memory else spread)
    means, deviations = [], []
    for channel in range(images.shape[1]):
        # A histogram of 256 counts is exact and needs no floating-point copy of the images.
        counts = images[:, channel].flatten().bincount(minlength=256).double()
        values = counts.new_tensor(range(256)) / 255
        mean = (counts * values).sum() / counts.sum()
        variance = (counts * (values - mean) ** 2).sum() / counts.sum()
        means.append(round(float(mean), 4))
        deviations.append(max(round(float(variance.sqrt()), 4), 1e-4))
    return tuple(means), tuple(deviations)
