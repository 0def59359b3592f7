"""Criteria that ask how far a filter is from the other filters of its layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion

if TYPE_CHECKING:
    from torch import Tensor

# Entries of one block of the Gram matrix: 32 MiB of float64, whatever the number of filters.
GRAM_BLOCK_ENTRIES = 1 << 22

WEISZFELD_ITERATIONS = 100
WEISZFELD_EPSILON = 1e-8


def _centred(rows: Tensor) -> Tensor:
    """`rows` (F, K) in float64, moved so that their mean is the origin; distances stay what they are."""
    # The first row is taken off before the mean, so that equal rows become exact zeros.
    moved = rows.double() - rows[:1].double()
    return moved - moved.mean(dim=0, keepdim=True)


@criterion("fpgm", needs=Needs.WEIGHT, source="He et al. 2019, arXiv:1811.00250")
def distance_sum(evidence: Evidence) -> Tensor:
    """Sum of a filter's Euclidean distances to the other filters of its layer.

    score_f = Σ_j ‖F_f − F_j‖₂                              (F, K) → (F,)

    ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b cancels when a and b are close; with centred rows in float64 what is
    lost stays below 1e-7 of the sum, also when filters are copies of each other.
    """
    import torch

    rows = _centred(evidence.weight)
    squares = rows.square().sum(dim=1)
    count = len(rows)
    block = max(1, GRAM_BLOCK_ENTRIES // count)
    sums = torch.empty_like(squares)
    for start in range(0, count, block):
        part = slice(start, min(start + block, count))
        distances = squares[part, None] + squares[None, :] - 2 * (rows[part] @ rows.T)
        distances.diagonal(offset=start).zero_()
        sums[part] = distances.clamp_(min=0).sqrt_().sum(dim=1)
    return sums.to(evidence.weight.dtype)


@criterion("fermat", needs=Needs.WEIGHT, source="Huang et al. 2021, arXiv:2004.11627")
def distance_to_median(evidence: Evidence) -> Tensor:
    """Distance of a filter to the geometric median of its layer.

    score_f = ‖F_f − F*‖₂,  F* = argmin_x Σ_j ‖x − F_j‖₂      (F, K) → (F,)

    F* by Weiszfeld's iteration from the mean: x ← Σ_j F_j / d_j ÷ Σ_j 1 / d_j, with
    d_j = max(‖x − F_j‖₂, 1e-8); at most 100 times, fewer when x no longer moves.
    """
    import torch

    rows = _centred(evidence.weight)
    median = torch.zeros_like(rows[0])
    for _ in range(WEISZFELD_ITERATIONS):
        pull = torch.linalg.vector_norm(rows - median, dim=1).clamp(min=WEISZFELD_EPSILON).reciprocal()
        moved = (pull @ rows) / pull.sum()
        settled = bool(torch.linalg.vector_norm(moved - median) <= 1e-12 * rows.abs().amax())
        median = moved
        if settled:
            break
    distances: Tensor = torch.linalg.vector_norm(rows - median, dim=1)
    return distances.to(evidence.weight.dtype)


@criterion("cosine", needs=Needs.WEIGHT, source="Ghimire et al. 2025, arXiv:2506.20152", zero_is_lowest=True)
def cosine_distance_sum(evidence: Evidence) -> Tensor:
    """Sum of a filter's cosine distances to the other filters of its layer.

    score_f = Σ_j (1 − cos(F_f, F_j))                       (F, K) → (F,)

    A zero filter has no direction of its own and counts as parallel to every other: it scores 0.
    """
    import torch

    rows = evidence.weight.double()
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
    directed = lengths > 0
    units = rows / lengths.where(directed, 1.0)[:, None]
    # Σ_j u_f·u_j = u_f·Σ_j u_j: no (F, F) matrix is needed.
    sums = directed.sum() - units @ units.sum(dim=0)
    return sums.clamp(min=0).where(directed, 0.0).to(evidence.weight.dtype)
