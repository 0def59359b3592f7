"""Criteria that take a filter's size for its worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import absolute_sums, largest, lengths, power_means, representable
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor


@criterion(
    "l1",
    needs=Needs.WEIGHT,
    source="Li et al. 2017, arXiv:1608.08710",
    zero_is_lowest=True,
    each_alone=True,
)
def l1_norm(evidence: Evidence) -> Tensor:
    """Sum of a filter's absolute weights.

    score_f = Σ_k |W_fk|                                    (F, K) → (F,)
    """
    return representable(absolute_sums(evidence.weight), evidence.weight)


@criterion(
    "l2",
    needs=Needs.WEIGHT,
    source="He et al. 2018, arXiv:1808.06866",
    zero_is_lowest=True,
    each_alone=True,
)
def l2_norm(evidence: Evidence) -> Tensor:
    """Euclidean length of a filter.

    score_f = sqrt(Σ_k W_fk²)                               (F, K) → (F,)
    """
    return representable(lengths(evidence.weight), evidence.weight)


@criterion(
    "linf",
    needs=Needs.WEIGHT,
    source="the maximum norm, a baseline",
    zero_is_lowest=True,
    each_alone=True,
)
def linf_norm(evidence: Evidence) -> Tensor:
    """Largest absolute weight of a filter.

    score_f = max_k |W_fk|                                  (F, K) → (F,)
    """
    return largest(evidence.weight)


@criterion(
    "lp_mean",
    needs=Needs.WEIGHT,
    source="the mean of |w|^p: l1 and l2² per weight",
    zero_is_lowest=True,
    each_alone=True,
)
def power_mean(evidence: Evidence, *, p: float = 1.0) -> Tensor:
    """Mean of a filter's absolute weights to the power p, which compares layers of different width.

    score_f = 1/K Σ_k |W_fk|^p                              (F, K) → (F,)

    Raises WrongUse unless p is positive.
    """
    if not 0 < p < float("inf"):
        raise WrongUse(f"p of lp_mean is a positive number, not {p}", hints=["for example: lp_mean(p=2)"])
    return representable(power_means(evidence.weight, p), evidence.weight)


@criterion("lamp", needs=Needs.WEIGHT, source="Lee et al. 2021, arXiv:2010.07611", zero_is_lowest=True)
def adaptive_magnitude(evidence: Evidence) -> Tensor:
    """Sum over a filter of each weight's square as a share of the layer's squares that are no smaller.

    score_f = Σ_{u in f} w_u² / Σ_{v: w_v² ≥ w_u²} w_v²,  v over the whole layer      (F, K) → (F,)

    Weights of equal square have equal shares: each counts all of them in the sum below.
    """
    import torch

    magnitudes, order = evidence.weight.abs().reshape(-1).sort(descending=True)
    squares = (magnitudes.double() / magnitudes[0].clamp(min=torch.finfo(magnitudes.dtype).tiny)).square_()
    sums = squares.cumsum(dim=0)
    # The last of a run of equal magnitudes holds the sum over the whole run.
    ends = torch.nonzero(torch.cat([magnitudes[1:] != magnitudes[:-1], magnitudes.new_ones(1).bool()]))[:, 0]
    runs = torch.diff(ends, prepend=ends.new_full((1,), -1))
    shares = torch.empty_like(squares)
    shares[order] = squares / sums[ends].repeat_interleave(runs).clamp(min=torch.finfo(torch.float64).tiny)
    return shares.view(evidence.weight.shape).sum(dim=1).to(evidence.weight.dtype)
