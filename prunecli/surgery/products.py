"""Products that sum over channels, without the terms that removed channels would have added.

What is summed are products of one position of the left operand with the same position of the right one, so
leaving a position out of both is what a zero there does, in half the time where half the channels go.
Positions are paired by their place, not by what the labels say of the right operand: a mistake in its
labels still shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Below so many rows, picking columns of the right operand takes longer than multiplying zeros by them
ENOUGH_ROWS = 64
CONVOLUTION, TRANSPOSED, GROUPS = "aten.convolution", 6, 8


@dataclass(frozen=True)
class Pairing:
    """Places of the operands among the arguments, and the dimension of each that is summed over."""

    left: int
    left_dim: int
    right: int
    right_dim: int
    matrices: bool = True


PAIRINGS = {
    "aten.mm": Pairing(0, 1, 1, 0),
    "aten.addmm": Pairing(1, 1, 2, 0),
    "aten.bmm": Pairing(0, 2, 1, 1),
    "aten.baddbmm": Pairing(1, 2, 2, 1),
}


def pairing_of(name: str, args: tuple[Any, ...]) -> Pairing | None:
    """How the operation pairs positions; None for all that is no plain product."""
    if name == CONVOLUTION:
        return Pairing(0, 1, 1, 0 if args[TRANSPOSED] else 1, matrices=False) if args[GROUPS] == 1 else None
    return PAIRINGS.get(name)


def product_of_kept(func: Any, args: tuple[Any, ...], kwargs: Any, pairing: Pairing, kept: Tensor) -> Any:
    """The operation over the positions `kept`, int64 (K,), of the summed dimension.

    None where removed positions hold what is no number and there are too few rows to leave them out.
    """
    left, right = args[pairing.left], args[pairing.right]
    small = list(args)
    rows = left.shape[-2] if pairing.matrices else left.numel() // left.shape[pairing.left_dim]
    if rows >= ENOUGH_ROWS:
        small[pairing.left] = left.index_select(pairing.left_dim, kept)
        small[pairing.right] = right.index_select(pairing.right_dim, kept)
        return func(*small, **kwargs)
    gone = torch.ones(left.shape[pairing.left_dim], dtype=torch.bool)
    gone[kept] = False
    small[pairing.left] = left.index_fill(pairing.left_dim, gone.nonzero().flatten(), 0)
    result = func(*small, **kwargs)
    return result if bool(result.isfinite().all()) else None
