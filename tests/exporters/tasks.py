"""What an exporter is given, made from a network that takes images of 3x8x8."""

from __future__ import annotations

import copy

import torch
from torch import nn

from prunecli.exporters.comparison import tensors_of
from prunecli.exporters.contract import EXPORTERS, Batch, ExportTask

SHAPE = (3, 8, 8)


class Small(nn.Module):
    """Convolution, norm and classifier."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


class FixedBatch(Small):
    """A shape with the batch written into it."""

    def forward(self, x):
        return super().forward(x).reshape(2, -1)


class TwoOutputs(Small):
    """A dictionary of results, as detectors and language models return."""

    def forward(self, x):
        features = self.norm(self.conv(x))
        return {"features": features, "logits": self.head(features.mean((2, 3)))}


def task_of(model, *, samples=None, dtype=torch.float32, **options):
    """Random batches of one and three, and `samples`; what is expected is computed in single precision."""
    reference = copy.deepcopy(model).float().eval()
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(size, *SHAPE, generator=generator) for size in (1, 3)]
    given = [(each, False) for each in inputs] + ([] if samples is None else [(samples, True)])
    batches = []
    for each, real in given:
        try:
            with torch.no_grad():
                expected = tuple(tensors_of(reference(each)))
        except RuntimeError:  # a network for one size of batch only
            expected = (torch.zeros(len(each), 5),)
        batches.append(Batch((each.to(dtype),), expected, real=real))
    example = (torch.randn(2, *SHAPE, generator=generator).to(dtype),)
    return ExportTask(tuple(batches), ("input",), example, **options)


def export(name, model, path, **given):
    """Write a copy of `model` by the exporter `name`, checked on what `task_of` makes."""
    return EXPORTERS[name].export(copy.deepcopy(model).eval(), path, task_of(model, **given))
