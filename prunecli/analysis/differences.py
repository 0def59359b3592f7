"""What differs between two sets of tensors, layer by layer, where either may have lost channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunecli.surgery.plan import Plan

SAME, CHANGED, CUT, GROWN, OTHER_CHANNELS, RESHAPED, ONLY_FIRST, ONLY_SECOND = (
    *("same", "changed", "cut", "grown", "other channels", "reshaped"),
    *("only in the first", "only in the second"),
)
_ORDER = (SAME, CHANGED, CUT, GROWN, OTHER_CHANNELS, RESHAPED, ONLY_FIRST, ONLY_SECOND)


@dataclass(frozen=True, kw_only=True)
class TensorDifference:
    """One tensor in both: shapes (None where it is missing), and how its common elements differ.

    `status` says how the shapes came to differ; "cut" and "grown" are by channels of one architecture. Of the
    elements that both have `changed` is the share with other bits, `max_abs_change` the largest difference;
    both None where nothing can be compared. `floating` is False for counters and masks.
    """

    name: str
    first: tuple[int, ...] | None
    second: tuple[int, ...] | None
    status: str
    changed: float | None
    max_abs_change: float | None
    floating: bool = True


class Kept:
    """Which positions of its architecture's tensors a network still has; all of them without a plan."""

    def __init__(self, plan: Plan | None) -> None:
        cuts = () if plan is None else plan.cuts
        self._removed = {(cut.tensor, cut.axis): (cut.size, cut.removed) for cut in cuts}

    def positions(self, tensor: str, axis: int, size: int) -> NDArray[np.int64]:
        """The places, in the architecture, of the `size` positions that a tensor's axis has."""
        before, removed = self._removed.get((tensor, axis), (size, ()))
        return np.setdiff1d(np.arange(before), np.asarray(removed, dtype=np.int64))


def differences(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], *, kept: tuple[Kept, Kept] | None
) -> list[TensorDifference]:
    """Every tensor of either; `kept` says what both have kept of one architecture, None of two."""
    names = [*first, *(name for name in second if name not in first)]
    return [_difference(name, first.get(name), second.get(name), kept) for name in names]


def worst(statuses: Iterable[str]) -> str:
    """The status that says most of several."""
    return max(statuses, key=_ORDER.index)


def _difference(
    name: str, first: Tensor | None, second: Tensor | None, kept: tuple[Kept, Kept] | None
) -> TensorDifference:
    shapes = [None if each is None else tuple(each.shape) for each in (first, second)]
    if first is None or second is None:
        status = ONLY_SECOND if first is None else ONLY_FIRST
        return TensorDifference(
            name=name, first=shapes[0], second=shapes[1], status=status, changed=None, max_abs_change=None
        )
    status, places = _aligned(name, first, second, kept)
    changed = largest = None
    if places is not None:
        changed, largest = _changes(
            _at(first, [own for own, _ in places]), _at(second, [other for _, other in places])
        )
        status = CHANGED if status == SAME and changed else status
    return TensorDifference(
        name=name,
        first=shapes[0],
        second=shapes[1],
        status=status,
        changed=changed,
        max_abs_change=largest,
        floating=first.is_floating_point(),
    )


_Places = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


def _aligned(
    name: str, first: Tensor, second: Tensor, kept: tuple[Kept, Kept] | None
) -> tuple[str, _Places | None]:
    """How the shapes differ, and by axis the positions in each at which the same channels stand."""
    if first.dim() != second.dim():
        return RESHAPED, None
    statuses, places = [SAME], []
    for axis, (a, b) in enumerate(zip(first.shape, second.shape, strict=True)):
        if kept is None:
            if a != b:
                return RESHAPED, None
            own = other = np.arange(a)
        else:
            own, other = (each.positions(name, axis, size) for each, size in zip(kept, (a, b), strict=True))
            if (len(own), len(other)) != (a, b):
                return RESHAPED, None
        common, in_first, in_second = np.intersect1d(own, other, assume_unique=True, return_indices=True)
        statuses.append(_status(len(own), len(other), len(common)))
        places.append((in_first, in_second))
    cut_and_grown = {CUT, GROWN} <= set(statuses)
    return OTHER_CHANNELS if cut_and_grown else worst(statuses), places


def _status(first: int, second: int, common: int) -> str:
    if common == first == second:
        return SAME
    if common == second:
        return CUT
    return GROWN if common == first else OTHER_CHANNELS


def _at(tensor: Tensor, places: Sequence[NDArray[np.int64]]) -> Tensor:
    for axis, positions in enumerate(places):
        if len(positions) < tensor.shape[axis]:
            tensor = tensor.index_select(axis, torch.from_numpy(positions))
    return tensor


def _changes(first: Tensor, second: Tensor) -> tuple[float, float]:
    """The share of elements with other bits, and the largest difference; a change of type changes all."""
    if not first.numel():
        return 0.0, 0.0
    if first.dtype == second.dtype and torch.equal(first, second):
        return 0.0, 0.0
    apart = (first.double() - second.double()).abs()
    changed = 1.0 if first.dtype != second.dtype else float((first != second).double().mean())
    return changed, float(apart.max())
