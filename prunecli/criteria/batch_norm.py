"""Criteria that read the scale and shift of the batch normalisation behind a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import BatchNormEvidence, Evidence, Needs, criterion
from prunecli.criteria.rows import lengths, representable

if TYPE_CHECKING:
    from torch import Tensor


def _batch_norm(evidence: Evidence) -> BatchNormEvidence:
    if evidence.batch_norm is None:
        raise ValueError(f"{evidence.layer} has no batch normalisation: ask Criterion.available first")
    return evidence.batch_norm


@criterion(
    "bn_gamma", needs=Needs.BATCH_NORM, source="Liu et al. 2017, arXiv:1708.06519", zero_is_lowest=True
)
def absolute_scale(evidence: Evidence) -> Tensor:
    """Absolute batch-norm scale of a filter's channel, meant for networks trained with sparse scales.

    score_f = |γ_f|                                         (F,) → (F,)

    Raises ValueError for a layer without batch normalisation.
    """
    return _batch_norm(evidence).weight.abs()


@criterion(
    "bn_beta", needs=Needs.BATCH_NORM, source="Huang et al. 2021, arXiv:2004.11627", zero_is_lowest=True
)
def absolute_shift(evidence: Evidence) -> Tensor:
    """Absolute batch-norm shift of a filter's channel.

    score_f = |β_f|                                         (F,) → (F,)

    Raises ValueError for a layer without batch normalisation.
    """
    return _batch_norm(evidence).bias.abs()


@criterion(
    "bn_folded",
    needs=Needs.WEIGHT | Needs.BATCH_NORM,
    source="Jacob et al. 2018, arXiv:1712.05877 (the folding)",
    zero_is_lowest=True,
)
def folded_length(evidence: Evidence) -> Tensor:
    """Euclidean length of a filter once its batch norm is folded into it.

    score_f = |γ_f| ‖F_f‖₂ / sqrt(var_f + ε)                (F, K), (F,) → (F,)

    Raises ValueError for a layer without batch normalisation.
    """
    import torch

    norm = _batch_norm(evidence)
    length = norm.weight.double().abs() * lengths(evidence.weight).double()
    # A channel that never varied and no ε would divide by zero.
    deviation = (norm.variance.double() + norm.epsilon).clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    return representable(length / deviation, evidence.weight)
