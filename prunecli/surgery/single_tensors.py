"""A plan carried out on single tensors, some rows at a time: for a network that does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunecli.graph.tracing import tensor_names
from prunecli.surgery.plan import Plan, Scaling

Positions = NDArray[np.int64]

# What a plan says to tensors by itself; of anything else in one it is not known here what it does to them.
_KNOWN = frozenset({"cuts", "attributes", "groups", "scalings"})
# Types of the same size that numpy knows: it takes positions several times faster than torch does.
_WHOLE_NUMBERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Change:
    """What a plan does to one tensor.

    `kept` has for every axis that loses positions those that stay, in order; `scalings` multiply rows before.
    """

    kept: Mapping[int, Positions] = field(default_factory=dict)
    scalings: tuple[Scaling, ...] = ()

    def scaled(self, rows: Tensor, numbers: Positions, whole: torch.Size, dtype: torch.dtype) -> Tensor:
        """Those rows of a tensor of the shape `whole`, multiplied in the type that the network has."""
        if not self.scalings:
            return rows
        made = rows.to(dtype)
        for scaling in self.scalings:
            factors = torch.ones(whole[scaling.axis], dtype=torch.float64)
            factors[list(scaling.rows)] = scaling.factor
            if not scaling.axis:
                factors = factors[torch.from_numpy(numbers)]
            shape = [-1 if axis == scaling.axis else 1 for axis in range(len(whole))]
            made = made * factors.view(shape).to(dtype)
        return made


def is_of_single_tensors(plan: Plan) -> bool:
    """Whether all that the plan does to tensors is done to each by itself."""
    return not any(getattr(plan, each.name) for each in fields(plan) if each.name not in _KNOWN)


def changes_of(plan: Plan) -> dict[str, Change]:
    """Tensor → what becomes of it, for every tensor that the plan changes."""
    kept: dict[str, dict[int, Positions]] = {}
    for cut in plan.cuts:
        stays = np.ones(cut.size, dtype=bool)
        stays[list(cut.removed)] = False
        kept.setdefault(cut.tensor, {})[cut.axis] = np.flatnonzero(stays)
    names = dict.fromkeys([*kept, *(scaling.tensor for scaling in plan.scalings)])
    return {
        name: Change(kept.get(name, {}), tuple(each for each in plan.scalings if each.tensor == name))
        for name in names
    }


def first_names(model: nn.Module) -> dict[str, str]:
    """Name in the state dict → what plans and graphs call that tensor: the first name of a tied one."""
    names = tensor_names(model)
    return {name: names.get(id(held), name) for name, held in model.state_dict(keep_vars=True).items()}


def last_names(model: nn.Module) -> dict[str, str]:
    """Name in the state dict → the name whose numbers a tied tensor has once all of them were loaded."""
    held = model.state_dict(keep_vars=True)
    last = {id(tensor): name for name, tensor in held.items()}
    return {name: last[id(tensor)] for name, tensor in held.items()}


def row_spans(tensor: Tensor, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Spans of the first axis of at most that many bytes, or one row where that has more."""
    count = tensor.shape[0]
    row = tensor.numel() // max(1, count) * tensor.element_size()
    step = max(1, most_bytes // max(1, row))
    for start in range(0, count, step):
        yield start, min(start + step, count)


def cut_pieces(tensor: Tensor, change: Change, dtype: torch.dtype, *, most_bytes: int) -> Iterator[Tensor]:
    """What becomes of `tensor`, in order, as pieces that take at most that many bytes of it each.

    `dtype` is the network's: pieces that are only cut stay in the type that they have.
    """
    if not tensor.dim():
        yield tensor
        return
    rows = change.kept.get(0)
    for start, end in row_spans(tensor, most_bytes):
        piece, numbers = tensor[start:end], np.arange(start, end)
        if rows is not None:
            first, last = np.searchsorted(rows, (start, end))
            numbers = rows[first:last]
            piece = taken(piece, 0, numbers - start)
        piece = change.scaled(piece, numbers, tensor.shape, dtype)
        yield narrowed(piece, change)


def narrowed(rows: Tensor, change: Change) -> Tensor:
    """Some rows of a tensor without what leaves its other axes."""
    for axis, positions in change.kept.items():
        rows = taken(rows, axis, positions) if axis else rows
    return rows


def taken(tensor: Tensor, axis: int, positions: NDArray[np.int64]) -> Tensor:
    """The positions of one axis, as `index_select` gives them."""
    numbers = tensor.view(_WHOLE_NUMBERS[tensor.element_size()]).numpy()
    return torch.from_numpy(np.take(numbers, positions, axis=axis)).view(tensor.dtype)
