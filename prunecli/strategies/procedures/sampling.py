"""Some of the images, the same ones each time: for trials that must cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunecli.data.splits import Split

FEW = 2
"""Validation images of a training whose accuracy nobody reads."""


def sample(split: Split, count: int, *, seed: int) -> Split:
    """`count` random images of `split` in its order, or all if there are fewer."""
    import numpy as np
    import torch

    from prunecli.data.splitting import take

    if count >= len(split):
        return split
    # RandomState, not Generator: numpy promises that its streams never change between releases.
    order = np.random.RandomState(seed % 2**32).permutation(len(split))
    return take(split, torch.from_numpy(np.sort(order[:count])))
