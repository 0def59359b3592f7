"""The mean of a filter's largest weights, which a few strong weights decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion

if TYPE_CHECKING:
    from torch import Tensor


@criterion(
    "topk",
    needs=Needs.WEIGHT,
    source="an example: between l1 (share=1) and linf (one weight)",
    zero_is_lowest=True,
)
def mean_of_the_largest(evidence: Evidence, *, share: float = 0.25) -> Tensor:
    """Mean of the largest absolute weights of a filter.

    score_f = Σ_{k in top} |W_fk| / n, n = max(1, ⌊share · K⌋)       (F, K) → (F,)
    """
    count = max(1, int(share * evidence.weight.shape[1]))
    return evidence.weight.abs().topk(count, dim=1).values.mean(dim=1)
