"""Criteria that read the singular values of a filter, a matrix of input channels by kernel positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import largest, representable

if TYPE_CHECKING:
    from torch import Tensor


@criterion(
    "nuclear",
    needs=Needs.WEIGHT,
    source="the nuclear norm, a baseline beside l2 and eff_rank",
    zero_is_lowest=True,
)
def nuclear_norm(evidence: Evidence) -> Tensor:
    """Sum of a filter's singular values, the filter taken as a matrix of input channels by kernel positions.

    score_f = Σ_i σ_i(F_f),  F_f of shape (C, k²)           (F, C·k²) → (F,)

    Of a 1×1 kernel or a linear layer it is the Euclidean length.
    """
    values, scale = _singular_values(evidence)
    return representable(values.sum(dim=1) * scale, evidence.weight)


@criterion("eff_rank", needs=Needs.WEIGHT, source="Roy & Vetterli 2007, EUSIPCO", zero_is_lowest=True)
def effective_rank(evidence: Evidence) -> Tensor:
    """Number of singular values that a filter spreads over: exp of the entropy of their shares.

    score_f = exp(−Σ_i p_i ln p_i),  p_i = σ_i / Σ_j σ_j of F_f (C, k²)        (F, C·k²) → (F,)

    1 for every filter with a 1×1 kernel; a zero filter scores 0.
    """
    import torch

    values, _ = _singular_values(evidence)
    total = values.sum(dim=1, keepdim=True)
    shares = values / total.where(total > 0, 1)
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    return entropy.exp().where(total[:, 0] > 0, 0).to(evidence.weight.dtype)


def _singular_values(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """The singular values of every filter divided by its largest weight, and that: (F, min(C, k²)), (F,)."""
    import torch

    filters, channels, *kernel = evidence.kernel_shape
    scale = largest(evidence.weight).double()
    rows = evidence.weight.double() / scale.where(scale > 0, 1)[:, None]
    matrices = rows.view(filters, channels, math.prod(kernel))
    if 1 in matrices.shape[1:]:
        values: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    else:
        values = torch.linalg.svdvals(matrices)
    return values, scale
