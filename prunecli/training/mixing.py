"""MixUp and CutMix: a batch mixed with itself moved by one place, and its labels likewise.

torchvision draws from torch's global generator and does the mixing; it is imported when a mixing is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from prunecli.errors import InputRefused
from prunecli.training.random_augment import load_transforms

MixBatch = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Mixing:
    """The alphas of the Beta distributions of MixUp and CutMix, 0 for none.

    With both above 0, each batch gets one of the two, drawn evenly. `classes` is how many the mixed labels
    have, None for those of the data. Raises ValueError for a negative alpha.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    classes: int | None = None

    def __post_init__(self) -> None:
        if min(self.mixup, self.cutmix) < 0:
            raise ValueError(f"an alpha cannot be negative: {self}")

    def __bool__(self) -> bool:
        """Whether anything is mixed at all."""
        return max(self.mixup, self.cutmix) > 0


def batch_mixer(mixing: Mixing, *, classes: int | None) -> MixBatch:
    """From images (B, C, H, W) float and labels (B,) int64 to mixed ones; `classes` is what the data knows.

    The labels become (B, classes) in the type of the images, each row adding up to 1. Whatever is random is
    drawn from torch's global generator on the CPU at each call. Zhang et al. 2018, arXiv:1710.09412; Yun et
    al. 2019, arXiv:1905.04899. Raises InputRefused when nobody knows the number of classes, WorkFailed when
    torchvision cannot be imported.
    """
    wanted = classes if mixing.classes is None else mixing.classes
    if wanted is None:
        raise InputRefused("labels cannot be mixed: the number of classes is not known")
    transforms = load_transforms("MixUp and CutMix")
    makers = ((transforms.MixUp, mixing.mixup), (transforms.CutMix, mixing.cutmix))
    kinds = [make(alpha=alpha, num_classes=wanted) for make, alpha in makers if alpha > 0]

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        kind = kinds[int(torch.randint(len(kinds), ()))] if len(kinds) > 1 else kinds[0]
        mixed, soft = kind(images, labels)
        return mixed, soft.to(images.dtype)

    return mix
