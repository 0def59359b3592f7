"""Sums, norms and distances of the rows of a matrix: what the weight criteria are made of.

The norms read the matrix from memory once and write no copy of it: they work on one piece at a time, which
stays in the processor's cache meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Entries of the piece that is worked on at a time, 8 MiB of float32: over smaller ones threads wait for each
# other, larger ones do not stay in the cache.
PIECE_ENTRIES = 1 << 21


def absolute_sums(rows: Tensor) -> Tensor:
    """Σ_k |x_k| of every row: (R, K) → (R,)."""
    return _absolute_pieces(rows, lambda piece: piece.sum(dim=1))


def largest(rows: Tensor) -> Tensor:
    """max_k |x_k| of every row: (R, K) → (R,)."""
    import torch

    # Twice over a piece that the first time brings into the cache is faster than writing absolute values.
    found = [torch.maximum(piece.amax(dim=1), -piece.amin(dim=1)) for piece in _pieces(rows)]
    return found[0] if len(found) == 1 else torch.cat(found)


def power_means(rows: Tensor, power: float) -> Tensor:
    """The mean of |x_k|^power of every row, in float64: (R, K) → (R,)."""
    return _absolute_pieces(rows, lambda piece: piece.double().pow_(power).mean(dim=1))


def lengths(rows: Tensor) -> Tensor:
    """sqrt(Σ_k x_k²) of every row, also where the squares overflow or vanish: (R, K) → (R,)."""
    import torch

    found: Tensor = torch.linalg.vector_norm(rows, dim=1)
    limits = torch.finfo(rows.dtype)
    # Below it squares that vanished may have mattered; above it the sum of squares is infinite.
    least = math.sqrt(rows.shape[1] * limits.tiny / limits.eps)
    odd = torch.nonzero(~((found >= least) & (found <= limits.max)))[:, 0]
    if len(odd):
        again = rows[odd]
        scale = largest(again)
        divisor = scale.where(scale > 0, 1)[:, None]
        found[odd] = scale * torch.linalg.vector_norm(again / divisor, dim=1)
    return found


def representable(scores: Tensor, weight: Tensor) -> Tensor:
    """The scores in the type of the weights, what is beyond its range as its largest number."""
    import torch

    limit = torch.finfo(weight.dtype).max
    return scores.double().clamp(min=-limit, max=limit).to(weight.dtype)


def centred(rows: Tensor) -> tuple[Tensor, float]:
    """Rows in float64 about their mean, divided by a power of two near their largest entry, and that power.

    (F, K) → (F, K). Squares of the entries neither overflow nor vanish; rows that are all equal become zeros.
    """
    exponent = math.frexp(float(largest(rows).amax()))[1] - 1
    scale = 2.0 ** max(exponent, -1000)
    moved = rows.double() / scale
    # The first row is taken off before the mean: only so do equal rows end exactly at zero.
    moved -= moved[:1].clone()
    return moved.sub_(moved.mean(dim=0, keepdim=True)), scale


def _absolute_pieces(rows: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """`reduce` (r, K) → (r,) of the absolute values of r rows at a time, put together: (R, K) → (R,)."""
    import torch

    pieces = _pieces(rows)
    if len(pieces) == 1:
        return reduce(rows.abs())
    buffer = torch.empty_like(pieces[0])
    return torch.cat([reduce(torch.abs(piece, out=buffer[: len(piece)])) for piece in pieces])


def _pieces(rows: Tensor) -> Sequence[Tensor]:
    """Some rows at a time: views (r, K)."""
    import torch

    return torch.split(rows, max(1, PIECE_ENTRIES // max(1, rows.shape[1])))
