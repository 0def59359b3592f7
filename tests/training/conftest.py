"""A set that a tiny network learns in seconds, and that network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunecli.data import DataSet, Split, TrainingData

CLASSES = 6


def stripes(count: int, seed: int) -> Split:
    """8x8 noise with one brighter row, whose number is the class."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 90, (count, 1, 8, 8), generator=stream)
    images[torch.arange(count), 0, labels] += 60
    return Split(images.to(torch.uint8), labels, CLASSES)


@pytest.fixture
def stripe_set() -> DataSet:
    """240 training, 60 validation and 60 test images in six classes."""
    names = tuple(f"row {row}" for row in range(CLASSES))
    return DataSet("stripes", stripes(240, 1), stripes(60, 2), stripes(60, 3), names, (0.2,), (0.15,))


@pytest.fixture
def training_data(stripe_set: DataSet) -> TrainingData:
    return stripe_set.for_training()


class ConvNormLinear(nn.Module):
    """Convolution, batch norm, dropout and a linear layer for six classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(4 * 64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.conv(images)).relu()
        logits: Tensor = self.head(self.drop(features.flatten(1)))
        return logits


@pytest.fixture
def make_model() -> Callable[[], nn.Module]:
    """A fresh network, the same one at every call."""

    def make() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return ConvNormLinear()

    return make
