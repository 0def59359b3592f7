"""Criteria that take feature maps for matrices: their rank, and what a channel adds to their nuclear norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import representable

if TYPE_CHECKING:
    from torch import Tensor


@criterion("hrank", needs=Needs.MAP_RANK, source="Lin et al. 2020, arXiv:2002.10179", zero_is_lowest=True)
def mean_rank(evidence: Evidence) -> Tensor:
    """Mean rank of a feature map, as a matrix of rows and columns, over sampled images.

    score_f = mean_b rank(A_bf)                               (n, F, H, W) → (F,)

    Maps of few rows or columns have few ranks, and many channels tie.
    """
    if evidence.map_rank is None:
        raise ValueError(f"{evidence.layer} has no two-dimensional maps: ask Criterion.available first")
    return representable(evidence.map_rank.double(), evidence.weight)


@criterion("chip", needs=Needs.NUCLEAR_DROP, source="Sui et al. 2021, arXiv:2110.13981", zero_is_lowest=True)
def channel_independence(evidence: Evidence) -> Tensor:
    """How much the nuclear norm of all feature maps of an image falls without a channel, over sampled images.

    score_f = mean_b (‖A_b‖_* − ‖A_b with row f zero‖_*)      (n, F, P) → (F,)

    The published code rounds feature maps to four decimals first; here they are taken as they are.
    """
    if evidence.nuclear_drop is None:
        raise ValueError(f"{evidence.layer} was not seen on images: ask Criterion.available first")
    return representable(evidence.nuclear_drop.double(), evidence.weight)
