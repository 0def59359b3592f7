"""Inverted residuals with depthwise convolutions for small images.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv:1801.04381), with the
strides and the projected shortcuts of the CIFAR versions. Tensor names: `conv1`, `layers.N.conv1`,
`layers.N.shortcut.0`, `conv2`, `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# (expansion, channels, blocks, stride of the first block): table 2 of the paper, its first stride 2 made 1
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand, filter by channel, project: (N, Cin, H, W) → (N, Cout, H / stride, W / stride).

    A block of stride 1 adds its input, through a 1×1 convolution where the channel counts differ.
    """

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = expansion * in_channels
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.residual = stride == 1
        self.shortcut = nn.Sequential()
        if self.residual and in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """F(x), or F(x) + shortcut(x) where the resolution stays."""
        inner = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(inner)))))
        return out + self.shortcut(x) if self.residual else out


class MobileNetV2(nn.Module):
    """A stem, inverted residuals, a 1×1 head and a linear layer: (N, in_channels, H, W) → (N, num_classes).

    `settings` lists (expansion, channels, blocks, stride) a stage; `stem` and `head` are channel counts.
    """

    def __init__(
        self,
        *,
        settings: Sequence[Sequence[int]] = MOBILENET_V2,
        stem: int = 32,
        head: int = 1280,
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        layers = []
        before = stem
        for expansion, channels, blocks, first_stride in settings:
            for stride in [first_stride] + [1] * (blocks - 1):
                layers.append(InvertedResidual(before, channels, expansion=expansion, stride=stride))
                before = channels
        self.layers = nn.Sequential(*layers)
        self.conv2 = nn.Conv2d(before, head, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(head)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(head, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits."""
        x = self.layers(self.relu(self.bn1(self.conv1(x))))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        logits: Tensor = self.linear(torch.flatten(x, 1))
        return logits
