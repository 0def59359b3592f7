"""Plain convolution and batch-norm stacks for small images.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks" (arXiv:1409.1556), with batch norm and one
linear layer as the CIFAR versions have them. Tensor names: `features.N`, `classifier`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class VGG(nn.Module):
    """Stages of 3×3 convolutions, each closed by 2×2 max pooling, then one linear layer.

    (N, in_channels, H, W) → (N, num_classes). `stages` holds the widths of each stage's convolutions;
    the input must be at least 2^len(stages) pixels wide.
    """

    def __init__(
        self, *, stages: Sequence[Sequence[int]], num_classes: int = 10, in_channels: int = 3
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = in_channels
        for widths in stages:
            for width in widths:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        layers.append(nn.AdaptiveAvgPool2d(1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits
