"""Criteria that ask how far a filter is from the other filters of its layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import centred, largest, lengths, representable
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor

# Filters on a side of one tile of the Gram matrix: 121 KiB of float32. Work on fewer than 2^15 entries is not
# split among threads, which would wait for each other at each step. With many threads the tiles are larger.
TILE_FILTERS = 176
ACCELERATOR_TILE_FILTERS = 2048

# What a product of rows in float32 is off by, as a share of the sum of their squares: 7 eps at most were
# measured for K up to 4608, 15 for K = 25088.
PRODUCT_ROUNDING_EPS = 16
# A distance sum that may be off by more than this share is computed again in float64.
DOUBTFUL = 5e-5

WEISZFELD_ITERATIONS = 100
WEISZFELD_EPSILON = 1e-8


@criterion("fpgm", needs=Needs.WEIGHT, source="He et al. 2019, arXiv:1811.00250")
def distance_sum(evidence: Evidence) -> Tensor:
    """Sum of a filter's Euclidean distances to the other filters of its layer.

    score_f = Σ_j ‖F_f − F_j‖₂                              (F, K) → (F,)

    By products of centred rows in the weights' own type. ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b cancels when a and b
    are close; sums in which that may matter are computed again in float64, where what is lost stays below
    1e-7 of the sum, since that is at least F times the centred length.
    """
    return representable(distance_sums(evidence.weight), evidence.weight)


@criterion("euclid", needs=Needs.WEIGHT, source="Ghimire et al. 2025, arXiv:2506.20152")
def mean_distance(evidence: Evidence) -> Tensor:
    """Mean Euclidean distance of a filter to the other filters of its layer: `fpgm` on a scale of its own.

    score_f = 1/(F − 1) Σ_j ‖F_f − F_j‖₂                    (F, K) → (F,)

    A layer's only filter scores 0.
    """
    others = max(1, len(evidence.weight) - 1)
    return representable(distance_sums(evidence.weight) / others, evidence.weight)


@criterion("fermat", needs=Needs.WEIGHT, source="Huang et al. 2021, arXiv:2004.11627")
def distance_to_median(evidence: Evidence) -> Tensor:
    """Distance of a filter to the geometric median of its layer.

    score_f = ‖F_f − F*‖₂,  F* = argmin_x Σ_j ‖x − F_j‖₂      (F, K) → (F,)

    F* by Weiszfeld's iteration from the mean: x ← Σ_j F_j / d_j ÷ Σ_j 1 / d_j, with
    d_j = max(‖x − F_j‖₂, 1e-8 of the largest weight); at most 100 times, fewer when x no longer moves.
    """
    import torch

    rows, scale = centred(evidence.weight)
    median, apart = torch.zeros_like(rows[0]), torch.empty_like(rows)
    still = 1e-12 * float(largest(rows).amax())
    for _ in range(WEISZFELD_ITERATIONS):
        distances = lengths(torch.sub(rows, median, out=apart))
        pull = distances.clamp_(min=WEISZFELD_EPSILON).reciprocal_()
        moved = (pull @ rows) / pull.sum()
        settled = float(lengths((moved - median)[None])) <= still
        median = moved
        if settled:
            break
    return representable(lengths(torch.sub(rows, median, out=apart)) * scale, evidence.weight)


@criterion("cosine", needs=Needs.WEIGHT, source="Ghimire et al. 2025, arXiv:2506.20152", zero_is_lowest=True)
def cosine_distance(evidence: Evidence, *, how: str = "sum") -> Tensor:
    """Sum of a filter's cosine distances to the other filters of its layer, or the least of them.

    score_f = Σ_j (1 − cos(F_f, F_j))  or  min_j (1 − cos(F_f, F_j)), j ≠ f      (F, K) → (F,)

    A zero filter has no direction of its own and counts as parallel to every other: it scores 0, and it is
    no other filter's nearest. A filter with a direction and no other beside it has the least distance 2.
    Raises WrongUse unless how is sum or min.
    """
    if how not in {"sum", "min"}:
        raise WrongUse(f"how of cosine is sum or min, not {how}", hints=["for example: cosine(how=min)"])
    rows = evidence.weight.double()
    longest = lengths(rows)
    directed = longest > 0
    units = rows / longest.where(directed, 1.0)[:, None]
    if how == "sum":
        # Σ_j u_f·u_j = u_f·Σ_j u_j: no (F, F) matrix is needed.
        distances = directed.sum() - units @ units.sum(dim=0)
    else:
        distances = 1 - _nearest_cosine(units, directed)
    return distances.clamp(min=0).where(directed, 0.0).to(evidence.weight.dtype)


def distance_sums(weight: Tensor) -> Tensor:
    """Σ_j ‖F_f − F_j‖₂ within 1e-4 of itself, in float64: (F, K) → (F,)."""
    import torch

    if weight.dtype == torch.float64:
        return _careful_sums(weight, torch.arange(len(weight), device=weight.device))
    sums, error = _quick_sums(weight)
    doubtful = torch.nonzero(~(error <= DOUBTFUL))[:, 0]
    if len(doubtful):
        sums[doubtful] = _careful_sums(weight, doubtful)
    return sums


def tile_side(rows: Tensor) -> int:
    """Filters on a side of a tile, whatever the number of filters: its entries grow with the threads."""
    import torch

    if rows.device.type != "cpu":
        return ACCELERATOR_TILE_FILTERS
    return TILE_FILTERS * math.isqrt(torch.get_num_threads())


def _quick_sums(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Distance sums by products in float32, and a bound of their relative error: (F, K) → (F,), (F,).

    Each product serves both of its filters. |Σ_j δd_fj| ≤ Σ_j δ_fj / d_fj ≤ Σ_j δ_fj / min_j d_fj, where
    δ_fj = rounding × (‖a_f‖² + ‖a_j‖²) is what a squared distance is off by.
    """
    import torch

    rows = weight - weight.mean(dim=0)
    squares = lengths(rows).square_()
    sums = squares.new_zeros(len(rows), dtype=torch.float64)
    nearest = torch.full_like(squares, torch.inf)
    for a, b, distances in _upper_tiles(rows, squares):
        nearest[a] = torch.minimum(nearest[a], distances.amin(dim=1))
        if a == b:
            distances.diagonal().zero_()
        else:
            nearest[b] = torch.minimum(nearest[b], distances.amin(dim=0))
        distances.clamp_(min=0).sqrt_()
        sums[a] += distances.sum(dim=1)
        if a != b:
            sums[b] += distances.sum(dim=0)
    rounding = PRODUCT_ROUNDING_EPS * torch.finfo(rows.dtype).eps
    exact = squares.double()
    error = rounding * (len(rows) * exact + exact.sum()) / (nearest.clamp(min=0).sqrt() * sums)
    return sums, error


def _upper_tiles(rows: Tensor, squares: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances tile by tile, each pair of filters once, with infinity on the diagonal."""
    import torch

    count, side = len(rows), tile_side(rows)
    buffer = rows.new_empty(min(count, side) ** 2)
    for first in range(0, count, side):
        a = slice(first, min(first + side, count))
        for second in range(first, count, side):
            b = slice(second, min(second + side, count))
            shape = (a.stop - a.start, b.stop - b.start)
            tile = torch.add(squares[a, None], squares[b], out=buffer[: shape[0] * shape[1]].view(shape))
            tile.addmm_(rows[a], rows[b].T, alpha=-2)
            if a == b:
                tile.diagonal().fill_(torch.inf)
            yield a, b, tile


def _careful_sums(weight: Tensor, chosen: Tensor) -> Tensor:
    """Distance sums of the chosen filters, products in float64: (F, K), (C,) → (C,)."""
    import torch

    rows, scale = centred(weight)
    squares = rows.square().sum(dim=1)
    sums = squares.new_zeros(len(chosen))
    count, side = len(rows), tile_side(rows)
    for first in range(0, len(chosen), side):
        these = chosen[first : first + side]
        left, own = rows[these], squares[these]
        for second in range(0, count, side):
            b = slice(second, min(second + side, count))
            tile = (own[:, None] + squares[b]).addmm_(left, rows[b].T, alpha=-2)
            tile.masked_fill_(these[:, None] == torch.arange(b.start, b.stop, device=rows.device), 0)
            sums[first : first + side] += tile.clamp_(min=0).sqrt_().sum(dim=1)
    return sums * scale


def _nearest_cosine(units: Tensor, directed: Tensor) -> Tensor:
    """max_j u_f·u_j over the other rows with a direction, −1 where there is none: (F, K) → (F,)."""
    import torch

    found = torch.full_like(units[:, 0], -1.0)
    side = tile_side(units)
    for first in range(0, len(units), side):
        rows = units[first : first + side]
        cosines = rows @ units.T
        cosines.diagonal(offset=first).fill_(-1)
        found[first : first + side] = cosines.masked_fill_(~directed, -1).amax(dim=1)
    return found
