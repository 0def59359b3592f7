"""The layers that read a layer's channels, channel by channel: what criteria of reconstruction start from.

A consumer makes y = Σ_c W_c u_c of its patches u, W_c and u_c being what it has of channel c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.evidence import ConsumerEvidence, Evidence
from prunecli.criteria.rows import representable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

Consumers = tuple[ConsumerEvidence, ...]

# How many answers about consumers are remembered: the layers that write to one residual stream have the same
# consumers, and three criteria ask about them.
REMEMBERED = 4


def consumers_of(evidence: Evidence) -> Consumers:
    """The consumers of the layer's channels; raises ValueError where none is known."""
    if evidence.consumers is None:
        raise ValueError(f"no known layer reads {evidence.layer}: ask Criterion.available first")
    return evidence.consumers


def by_filter(consumer: ConsumerEvidence, filters: int) -> tuple[Tensor, Tensor]:
    """Samples (S, F, k) and weights (N, F, k): the columns of every filter, filled up with zeros."""
    import torch

    columns = torch.nonzero(consumer.owner >= 0).flatten()
    columns = columns[consumer.owner[columns].argsort(stable=True)]
    owner = consumer.owner[columns]
    counts = owner.bincount(minlength=filters)
    width = int(counts.max())
    slot = owner * width + torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]

    def arranged(rows: Tensor) -> Tensor:
        made = rows.new_zeros(len(rows), filters * width)
        made[:, slot] = rows[:, columns]
        return made.reshape(len(rows), filters, width)

    return arranged(consumer.samples), arranged(consumer.weight)


def output_energy(consumer: ConsumerEvidence, *, centred: bool = False) -> float:
    """Σ_s ‖y‖² over the samples, of all that the consumer reads; `centred`: about the mean output."""
    samples = consumer.samples - consumer.samples.mean(dim=0) if centred else consumer.samples
    return float((samples @ consumer.weight.T).double().square().sum())


def as_scores(values: Floats, evidence: Evidence) -> Tensor:
    """(F,) numbers in the type of the layer's weight and on its device."""
    import torch

    return representable(torch.from_numpy(values).to(evidence.weight.device), evidence.weight)
