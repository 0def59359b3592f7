"""Inception branches for small images.

Szegedy et al. 2015, "Going Deeper with Convolutions", table 1 (arXiv:1409.4842), with batch norm, one
convolution as stem and two 3×3 for each 5×5, as the CIFAR versions have it. Tensor names:
`pre_layers.0`, `a3.b1.0`, …, `b5.b4.1`, `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# (1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection) by module, table 1 of the paper
INCEPTIONS = {
    "a3": (64, 96, 128, 16, 32, 32),
    "b3": (128, 128, 192, 32, 96, 64),
    "a4": (192, 96, 208, 16, 48, 64),
    "b4": (160, 112, 224, 24, 64, 64),
    "c4": (128, 128, 256, 24, 64, 64),
    "d4": (112, 144, 288, 32, 64, 64),
    "e4": (256, 160, 320, 32, 128, 128),
    "a5": (256, 160, 320, 32, 128, 128),
    "b5": (384, 192, 384, 48, 128, 128),
}
HALVED_BEFORE = ("a4", "a5")


def convolution(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    """A convolution that keeps the resolution, its batch norm and its ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


class Inception(nn.Module):
    """Four branches side by side: (N, C, H, W) → (N, sum of the branches' channels, H, W)."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = widths
        self.out_channels = one + three + five + pooled
        self.b1 = nn.Sequential(*convolution(in_channels, one, 1))
        self.b2 = nn.Sequential(*convolution(in_channels, reduce3, 1), *convolution(reduce3, three, 3))
        self.b3 = nn.Sequential(
            *convolution(in_channels, reduce5, 1), *convolution(reduce5, five, 3), *convolution(five, five, 3)
        )
        self.b4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *convolution(in_channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels one behind the other."""
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


class GoogLeNet(nn.Module):
    """One convolution, nine inception modules, pooling and a linear layer.

    (N, in_channels, H, W) → (N, num_classes); `stem` is the first convolution's channel count.
    """

    def __init__(self, *, stem: int = 192, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.pre_layers = nn.Sequential(*convolution(in_channels, stem, 3))
        before = stem
        for name, widths in INCEPTIONS.items():
            inception = Inception(before, widths)
            self.add_module(name, inception)
            before = inception.out_channels
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits."""
        x = self.pre_layers(x)
        for name in INCEPTIONS:
            if name in HALVED_BEFORE:
                x = self.maxpool(x)
            x = self.get_submodule(name)(x)
        logits: Tensor = self.linear(torch.flatten(self.pool(x), 1))
        return logits
