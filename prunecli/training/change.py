"""How much layers changed in a training, and which of them so little that they may be frozen, after ICE."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from prunecli.errors import WrongUse

# A share of a count is whole if it is so to this: 0.7 · 10 is a little more than 7.
_ROUNDING = 1e-9


def least_changed(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    original: Mapping[str, Tensor],
    *,
    share: float,
) -> tuple[str, ...]:
    """The ⌈share · L⌉ of L layers that a training changed least, in the order of `before`.

    The three hold each layer's weight by its name: before the training, after it, and in the network before
    pruning, whose weights may be larger. Equal changes: the earlier layer. Raises WrongUse for a share that
    is not from 0 to 1, ValueError when the three are not of the same layers.
    """
    if not 0 <= share <= 1:
        raise WrongUse(f"the share of layers cannot be {share:g}", hints=["valid: from 0 to 1"])
    if not before.keys() == after.keys() == original.keys():
        raise ValueError("the weights are not those of the same layers")
    changes = {name: change(before[name], after[name], original[name]) for name in before}
    count = math.ceil(share * len(changes) - _ROUNDING)
    chosen = set(sorted(changes, key=changes.__getitem__)[:count])
    return tuple(name for name in before if name in chosen)


@torch.no_grad()
def change(before: Tensor, after: Tensor, original: Tensor) -> float:
    """By how much a training changed a layer: | ‖W_after‖₁ − ‖W_before‖₁ | / ‖W_original‖₂, in float64.

    0 for a layer that stayed 0, infinite for one that was 0 at first. Hu et al. 2025 (arXiv:2505.07411).
    """
    moved = abs(_norm(after, 1) - _norm(before, 1))
    size = _norm(original, 2)
    if not size:
        return math.inf if moved else 0.0
    return moved / size


def _norm(weight: Tensor, order: int) -> float:
    return float(torch.linalg.vector_norm(weight.double(), order))
