"""Take the positions that stay out of tensors, with as little memory asked for as there must be.

Memory that a process gets anew costs more than moving the numbers: every page of it is a fault. So what lies
between two selections is one small buffer that is used again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunecli.surgery.plan import Cut

PIECE_BYTES = 1 << 20
FEW_BYTES = 64 << 10


class Selection:
    """Selects from many tensors in turn: indices that tensors share are made once, and so is the buffer."""

    def __init__(self) -> None:
        self._indices: dict[tuple[int, int, torch.device], Tensor] = {}
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def narrowed(self, data: Tensor, cuts: list[Cut]) -> Tensor:
        """A copy of `data` without what the cuts take, each along an axis of its own."""
        return self.selected(data, {cut.axis: self._stays(cut, data.device) for cut in cuts})

    def selected(self, data: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
        """A copy with the kept positions (axis → indices) only.

        Where the first dimension and another lose positions, a few rows are taken at a time: what is between
        the two selections then stays in the cache.
        """
        axes = sorted(kept)
        size = data.numel() * data.element_size()
        if len(axes) != 2 or axes[0] or size < FEW_BYTES or data.device.type != "cpu":
            for axis in axes:
                data = data.index_select(axis, kept[axis])
            return data
        rows, columns = kept[0], kept[axes[1]]
        shape = list(data.shape)
        shape[0], shape[axes[1]] = len(rows), len(columns)
        found = data.new_empty(shape)
        width = data[0].numel()
        step = max(1, PIECE_BYTES // (width * data.element_size()))
        buffer = self._numbers(min(step, len(rows)) * width, data.dtype)
        for start in range(0, len(rows), step):
            here = rows[start : start + step]
            piece = buffer[: len(here) * width].view(len(here), *data.shape[1:])
            torch.index_select(data, 0, here, out=piece)
            torch.index_select(piece, axes[1], columns, out=found[start : start + step])
        return found

    def _stays(self, cut: Cut, device: torch.device) -> Tensor:
        """The positions that stay, (kept,), on the device; cuts of a plan share what they remove."""
        key = id(cut.removed), cut.size, device
        if key not in self._indices:
            self._indices[key] = torch.tensor(cut.kept, dtype=torch.int64, device=device)
        return self._indices[key]

    def _numbers(self, count: int, dtype: torch.dtype) -> Tensor:
        """The buffer as `count` numbers."""
        size = count * dtype.itemsize
        if self._buffer.numel() < size:
            self._buffer = torch.empty(size, dtype=torch.uint8)
        return self._buffer[:size].view(dtype)
