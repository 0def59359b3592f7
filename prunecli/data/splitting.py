"""Setting a stratified share of the images aside, by seed, the same on every machine and release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.data.files import ImageFiles
from prunecli.data.splits import Split

if TYPE_CHECKING:
    from torch import Tensor


def stratified_share(labels: Tensor, *, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices that stay and indices that are set aside, each ascending; (N,) int64 → two (M,) int64.

    Of a class with n images round(share · n) are set aside, at least one and at most n − 1; a class
    with a single image keeps it.
    """
    import numpy as np
    import torch

    # RandomState, not Generator: numpy promises that its streams never change between releases.
    stream = np.random.RandomState(seed % 2**32)
    plain = labels.numpy()
    aside = np.zeros(len(plain), dtype=bool)
    for label in np.unique(plain):
        members = np.flatnonzero(plain == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        aside[stream.permutation(members)[:count]] = True
    return torch.from_numpy(np.flatnonzero(~aside)), torch.from_numpy(np.flatnonzero(aside))


def take(split: Split, indices: Tensor) -> Split:
    """The images of `split` at `indices` (M,) int64: copied where they are in memory, else left on disk."""
    images = split.images
    chosen = images.subset(indices) if isinstance(images, ImageFiles) else images[indices]
    return Split(chosen, split.labels[indices], split.classes)


def decoded(split: Split, indices: Tensor) -> Split:
    """The images of `split` at `indices` (M,) int64, in memory wherever they were.

    For a few that are read often. Raises InputRefused, naming the file, for an image that cannot be read.
    """
    return Split(split.pixels(indices), split.labels[indices], split.classes)
