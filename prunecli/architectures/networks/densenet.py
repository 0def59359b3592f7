"""Densely connected networks for small images.

Huang et al. 2017, "Densely Connected Convolutional Networks", section 4 (arXiv:1608.06993). Tensor names:
`conv1`, `block1.layer.0.bn1`, `block1.layer.0.conv1`, `trans1.conv1`, `bn1`, `fc`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3×3 convolution, and the input kept: (N, C, H, W) → (N, C + growth, H, W).

    With `bottleneck` a 1×1 convolution to 4 · growth channels comes first (DenseNet-B).
    """

    def __init__(self, in_channels: int, growth: int, *, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.relu = nn.ReLU()
        self.bn1 = nn.BatchNorm2d(in_channels)
        if bottleneck:
            self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(4 * growth)
            self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The input and the new channels behind it."""
        new = self.conv1(self.relu(self.bn1(x)))
        if self.bottleneck:
            new = self.conv2(self.relu(self.bn2(new)))
        return torch.cat([x, new], 1)


class DenseBlock(nn.Module):
    """`depth` dense layers: (N, C, H, W) → (N, C + depth · growth, H, W)."""

    def __init__(self, in_channels: int, growth: int, *, depth: int, bottleneck: bool) -> None:
        super().__init__()
        layers = [DenseLayer(in_channels + i * growth, growth, bottleneck=bottleneck) for i in range(depth)]
        self.layer = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """All layers in turn."""
        out: Tensor = self.layer(x)
        return out


class Transition(nn.Module):
    """Batch norm, ReLU, 1×1 convolution and 2×2 average pooling: (N, C, H, W) → (N, C', H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """The shrunk input."""
        out: Tensor = self.pool(self.conv1(self.relu(self.bn1(x))))
        return out


class DenseNet(nn.Module):
    """Three dense blocks with transitions between them, then pooling and a linear layer.

    (N, in_channels, H, W) → (N, num_classes). `depth` counts convolutions and the linear layer, so each
    block has (depth − 4) / 3 layers, half of that with `bottleneck`; `reduction` is the share of channels
    that a transition keeps. Raises ValueError for a depth that does not divide so.
    """

    def __init__(
        self,
        *,
        depth: int = 40,
        growth: int = 12,
        bottleneck: bool = False,
        reduction: float = 1.0,
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        layers, rest = divmod(depth - 4, 6 if bottleneck else 3)
        if rest or layers < 1:
            raise ValueError(f"a depth of {depth} does not divide into three dense blocks")
        channels = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.block1 = DenseBlock(channels, growth, depth=layers, bottleneck=bottleneck)
        channels += layers * growth
        self.trans1 = Transition(channels, int(channels * reduction))
        channels = int(channels * reduction)
        self.block2 = DenseBlock(channels, growth, depth=layers, bottleneck=bottleneck)
        channels += layers * growth
        self.trans2 = Transition(channels, int(channels * reduction))
        channels = int(channels * reduction)
        self.block3 = DenseBlock(channels, growth, depth=layers, bottleneck=bottleneck)
        channels += layers * growth
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits."""
        x = self.trans1(self.block1(self.conv1(x)))
        x = self.block3(self.trans2(self.block2(x)))
        x = self.pool(self.relu(self.bn1(x)))
        logits: Tensor = self.fc(torch.flatten(x, 1))
        return logits
