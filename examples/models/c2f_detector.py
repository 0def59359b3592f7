"""A small detector of the YOLO kind: C2f blocks that split and concatenate, pooling in a row, two heads.

    prunecli prune weights.safetensors --model examples/models/c2f_detector.py:detector \
        --input-shape 3x64x64 --ratio 0.5 -o small.safetensors

Nothing in this file knows of prunecli.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BOX, CLASSES = 4, 3


class Convolution(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, width, H / stride, W / stride)."""
        return nn.functional.silu(self.norm(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions and a residual sum, without a change of shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Convolution(channels, channels, 3)
        self.second = Convolution(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        return x + self.second(self.first(x))


class C2f(nn.Module):
    """Split in two halves, pass one through bottlenecks, concatenate every stage."""

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.hidden = width // 2
        self.enter = Convolution(channels, 2 * self.hidden)
        self.leave = Convolution((2 + depth) * self.hidden, width)
        self.blocks = nn.ModuleList(Bottleneck(self.hidden) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, width, H, W)."""
        stages = list(self.enter(x).split((self.hidden, self.hidden), dim=1))
        for block in self.blocks:
            stages.append(block(stages[-1]))
        return self.leave(torch.cat(stages, dim=1))


class PoolingInARow(nn.Module):
    """SPPF: the same pooling three times, all of it concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Convolution(channels, channels // 2)
        self.leave = Convolution(2 * channels, channels)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        stages = [self.enter(x)]
        for _ in range(3):
            stages.append(self.pool(stages[-1]))
        return self.leave(torch.cat(stages, dim=1))


class Detector(nn.Module):
    """Backbone, a way back up, and a head on each of two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 16, 3, 2)
        self.fine = nn.Sequential(Convolution(16, 32, 3, 2), C2f(32, 32, 1))
        self.coarse = nn.Sequential(Convolution(32, 64, 3, 2), C2f(64, 64, 2), PoolingInARow(64))
        self.up = nn.Upsample(scale_factor=2)
        self.neck = C2f(96, 32, 1)
        self.heads = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(Convolution(channels, 32, 3), nn.Conv2d(32, outputs, 1))
                for outputs in (BOX, CLASSES)
            )
            for channels in (32, 64)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, BOX + CLASSES, places)."""
        fine = self.fine(self.stem(x))
        coarse = self.coarse(fine)
        scales = (self.neck(torch.cat([self.up(coarse), fine], dim=1)), coarse)
        found = [
            torch.cat([head(scale) for head in heads], dim=1).flatten(2)
            for heads, scale in zip(self.heads, scales, strict=True)
        ]
        return torch.cat(found, dim=2)


def detector() -> nn.Module:
    """The network as it is before pruning, with random weights; prunecli fills in those of the checkpoint."""
    return Detector()
