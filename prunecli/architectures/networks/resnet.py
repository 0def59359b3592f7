"""Residual networks for small images, with parameter-free padded or projected shortcuts.

He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2 (arXiv:1512.03385). Tensor
names are those of the CIFAR-10 checkpoints that circulate: `conv1`, `bn1`, `layer1.0.conv1`, `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SHORTCUTS = ("pad", "project")


class PaddedShortcut(nn.Module):
    """Option A of the paper: every `stride`-th pixel, and zero channels around the ones there are.

    (N, C, H, W) → (N, before + C + after, ⌈H / stride⌉, ⌈W / stride⌉). The three counts are plain
    attributes, so that they can be rewritten when channels leave.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.before = before
        self.after = after
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """The shrunk and padded input."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """The three counts, for `print(model)`."""
        return f"before={self.before}, after={self.after}, stride={self.stride}"


def shortcut_path(in_channels: int, out_channels: int, *, stride: int, kind: str) -> nn.Module:
    """What carries a block's input to its sum: nothing where shapes agree, else padding or a projection."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    if kind == "project":
        projection = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        return nn.Sequential(projection, nn.BatchNorm2d(out_channels))
    if out_channels < in_channels:
        raise ValueError(f"a padded shortcut cannot go from {in_channels} to {out_channels} channels")
    extra = out_channels - in_channels
    return PaddedShortcut(extra // 2, extra - extra // 2, stride)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a sum: (N, Cin, H, W) → (N, Cout, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.shortcut = shortcut_path(in_channels, out_channels, stride=stride, kind=shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """relu(F(x) + shortcut(x))."""
        inner = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A stem, one stage of basic blocks for each width, global average pooling and a linear layer.

    (N, in_channels, H, W) → (N, num_classes). Stage i has `blocks[i]` blocks of `widths[i]` channels,
    every stage but the first halves the resolution. `shortcut` is "pad" (option A, no parameters) or
    "project" (option B, 1×1 convolution and batch norm). Raises ValueError for another word, and where
    the two lists differ in length.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        widths: Sequence[int] = (16, 32, 64),
        num_classes: int = 10,
        in_channels: int = 3,
        shortcut: str = "pad",
    ) -> None:
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise ValueError(f"shortcut is {shortcut!r}; valid: {', '.join(SHORTCUTS)}")
        if len(blocks) != len(widths):
            raise ValueError(f"{len(blocks)} stages of blocks, but {len(widths)} widths")
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        before = widths[0]
        self.stages = len(widths)
        for stage, (depth, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            strides = [1 if stage == 1 else 2] + [1] * (depth - 1)
            layers = []
            for stride in strides:
                layers.append(BasicBlock(before, width, stride=stride, shortcut=shortcut))
                before = width
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.linear(torch.flatten(self.pool(x), 1))
        return logits
