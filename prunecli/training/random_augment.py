"""RandAugment: a few operations drawn for each image, all at one strength, done for a batch at once.

torchvision's transform draws and works image by image. Here all is drawn for the batch, and the images that
drew the same are changed together, by torchvision's functions; it is imported when asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from prunecli.errors import InputRefused, WorkFailed
from prunecli.torchvision_import import load_torchvision

# What Cubuk et al. 2020, arXiv:1909.13719, found best: (operations an image, strength out of 30) for a
# Wide-ResNet-28-10 on CIFAR-10 and for a ResNet-50 on ImageNet. In between the nearer one is taken.
_SMALL, _LARGE = (3, 5), (2, 9)
_SMALL_SIDE = 64
_STRENGTHS = 31

Change = Callable[[Tensor], Tensor]


def load_transforms(wanted_for: str) -> Any:
    """The module `torchvision.transforms.v2`; raises WorkFailed when torchvision cannot be imported."""
    try:
        load_torchvision()
        from torchvision.transforms import v2
    except ImportError as error:
        raise WorkFailed(
            f"torchvision cannot be imported, and {wanted_for} cannot be had without",
            hints=[str(error).partition("\n")[0], "pip install torchvision"],
        ) from error
    return v2


def random_augmenter(image_shape: tuple[int, int, int]) -> Change:
    """A function (B, C, H, W) uint8 → (B, C, H, W) uint8 that draws and applies operations for each image.

    Images with a shorter side below 64 get three operations at strength 5 of 30, larger ones two at 9: the 14
    operations of torchvision's RandAugment, evenly drawn, those with a sign up or down. What is uncovered
    becomes black. All operations, then all signs are drawn from torch's global generator on the CPU at each
    call. Raises InputRefused for images that are neither grey nor RGB, WorkFailed without torchvision.
    """
    channels = image_shape[0]
    if channels not in (1, 3):
        raise InputRefused(
            f"RandAugment knows grey and RGB images, not images of {channels} channels",
            hints=["use the recipe without '+randaugment'"],
        )
    places, strength = _SMALL if min(image_shape[1:]) < _SMALL_SIDE else _LARGE
    functional = load_transforms("RandAugment").functional
    operations = random_operations(functional, image_shape=image_shape, strength=strength)
    changes = [change for operation in operations for change in operation]
    ends = torch.tensor([len(operation) for operation in operations]).cumsum(0)
    # Row: operation; column: sign. Without a sign both columns say the same, so that one group is enough.
    numbers = torch.stack([torch.tensor([0, *ends[:-1]]), ends - 1], dim=1)

    def augment(images: Tensor) -> Tensor:
        operation = torch.randint(len(operations), (places, len(images)))
        sign = torch.randint(2, (places, len(images)))
        for drawn in numbers[operation, sign]:
            images = change_groups(images, drawn, changes)
        return images

    return augment


def random_operations(
    functional: Any, *, image_shape: tuple[int, int, int], strength: int
) -> list[tuple[Change, ...]]:
    """RandAugment's 14 operations at `strength` (0..30), each (N, C, H, W) uint8 → (N, C, H, W) uint8.

    An operation is one change, or two where it has a sign: up and down. Every image is changed by itself, as
    it would be alone. `functional` is `torchvision.transforms.v2.functional`.
    """

    def size(highest: float) -> float:
        return float(torch.linspace(0.0, highest, _STRENGTHS)[strength])  # float32, as torchvision's are

    def signed(change: Callable[[float], Change], size: float) -> tuple[Change, Change]:
        return change(size), change(-size)

    def moved(**how: Any) -> Change:
        still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
        return partial(functional.affine, **{**still, **how})

    height, width = image_shape[1:]
    down, right = (size(150.0 / 331.0 * side) for side in (height, width))
    shear, colour = math.degrees(math.atan(size(0.3))), size(0.9)
    return [
        (lambda images: images,),
        signed(lambda shear: moved(shear=[shear, 0.0], center=[0, 0]), shear),
        signed(lambda shear: moved(shear=[0.0, shear], center=[0, 0]), shear),
        signed(lambda right: moved(translate=[int(right), 0]), right),
        signed(lambda down: moved(translate=[0, int(down)]), down),
        signed(lambda angle: partial(functional.rotate, angle=angle), size(30.0)),
        signed(lambda more: partial(functional.adjust_brightness, brightness_factor=1 + more), colour),
        signed(lambda more: partial(functional.adjust_saturation, saturation_factor=1 + more), colour),
        signed(lambda more: partial(functional.adjust_contrast, contrast_factor=1 + more), colour),
        signed(lambda more: partial(functional.adjust_sharpness, sharpness_factor=1 + more), colour),
        (partial(functional.posterize, bits=round(8 - 4 * strength / (_STRENGTHS - 1))),),
        (partial(functional.solarize, threshold=255 - size(255.0)),),
        (functional.autocontrast,),
        (functional.equalize,),
    ]


def change_groups(images: Tensor, numbers: Tensor, changes: Sequence[Change]) -> Tensor:
    """Each image after the change whose number it has, every change called once at most.

    `images` (B, C, H, W) on any device, `numbers` (B,) int64 on the CPU → (B, C, H, W), in the old order.
    """
    order = numbers.argsort()
    sizes = numbers.bincount(minlength=len(changes)).tolist()
    groups = torch.split(images.index_select(0, order.to(images.device)), sizes)
    changed = [change(group) for change, group in zip(changes, groups, strict=True) if len(group)]
    return torch.cat(changed).index_select(0, order.argsort().to(images.device))
