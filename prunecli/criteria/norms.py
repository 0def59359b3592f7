"""Criteria that take a filter's size for its worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion

if TYPE_CHECKING:
    from torch import Tensor


@criterion("l1", needs=Needs.WEIGHT, source="Li et al. 2017, arXiv:1608.08710", zero_is_lowest=True)
def l1_norm(evidence: Evidence) -> Tensor:
    """Sum of a filter's absolute weights.

    score_f = Σ_k |W_fk|                                    (F, K) → (F,)
    """
    return evidence.weight.abs().sum(dim=1)


@criterion("l2", needs=Needs.WEIGHT, source="He et al. 2018, arXiv:1808.06866", zero_is_lowest=True)
def l2_norm(evidence: Evidence) -> Tensor:
    """Euclidean length of a filter.

    score_f = sqrt(Σ_k W_fk²)                               (F, K) → (F,)
    """
    return evidence.weight.square().sum(dim=1).sqrt()


@criterion("linf", needs=Needs.WEIGHT, source="the maximum norm, a baseline", zero_is_lowest=True)
def linf_norm(evidence: Evidence) -> Tensor:
    """Largest absolute weight of a filter.

    score_f = max_k |W_fk|                                  (F, K) → (F,)
    """
    return evidence.weight.abs().amax(dim=1)
