"""A layer that reads other layers' channels, and evidence that has it."""

from __future__ import annotations

import torch

from prunecli.criteria.evidence import ConsumerEvidence, Evidence

FILTERS = 6


def evidence(*consumers, filters=FILTERS, dtype=torch.float64):
    weight = torch.ones(filters, 9, dtype=dtype)
    return Evidence("conv", weight, (filters, 1, 3, 3), consumers=tuple(consumers))


def consumer(*, columns=2, others=0, outputs=4, samples=50, filters=FILTERS, seed=0):
    """A layer that reads `columns` columns of every channel, mixed with those of other layers."""
    generator = torch.Generator().manual_seed(seed)
    size = filters * columns + others
    owner = torch.cat([torch.arange(filters).repeat_interleave(columns), torch.full((others,), -1)])
    read = torch.randn(samples, 3, generator=generator) @ torch.randn(3, size, generator=generator)
    return ConsumerEvidence(
        "next",
        torch.randn(outputs, size, generator=generator).double(),
        owner[torch.randperm(size, generator=generator)],
        (read + torch.randn(samples, size, generator=generator)).double(),
    )
