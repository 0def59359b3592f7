"""Safetensors files as maps of the disk: tensors whose numbers are read only when they are looked at."""

from __future__ import annotations

import mmap
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from prunecli.checkpoints.header import Header, read_header
from prunecli.checkpoints.safetensors import refuse_special
from prunecli.checkpoints.source import Source
from prunecli.errors import InputRefused

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "U64": torch.uint64,
        "I64": torch.int64,
        "F64": torch.float64,
        "F32": torch.float32,
        "U32": torch.uint32,
        "I32": torch.int32,
        "BF16": torch.bfloat16,
        "F16": torch.float16,
        "U16": torch.uint16,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
)
"""The format's words for types, in the order in which the library puts tensors of those types in a file."""


@dataclass(eq=False)
class Maps:
    """The mapped files of one checkpoint, and which pages of them are at hand.

    The maps cannot be written to: who writes to a tensor of theirs ends the process.
    """

    _addresses: list[int] = field(default_factory=list)
    _pages: list[mmap.mmap] = field(default_factory=list)

    def load(self, source: Source) -> tuple[dict[str, Tensor], Header]:
        """Map a safetensors file; its tensors in the file's order, and the header. Raises InputRefused.

        Nothing but the header is read. Numbers may begin at odd addresses, where the file places them so.
        """
        header = read_header(source)
        refuse_special(source, header)
        try:
            pages = mmap.mmap(source.file.fileno(), source.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputRefused(f"{source.name} cannot be mapped: {error}") from error
        begin = 8 + int.from_bytes(pages[:8], "little")
        tensors: dict[str, Tensor] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of every buffer that cannot be written to
            whole = torch.frombuffer(pages, dtype=torch.uint8)
            for name, entry in header.entries.items():
                dtype, count = DTYPES[entry.dtype], entry.end - entry.start
                flat = (
                    torch.frombuffer(
                        pages, dtype=dtype, count=count // dtype.itemsize, offset=begin + entry.start
                    )
                    if count
                    else torch.empty(0, dtype=dtype)
                )
                tensors[name] = flat.view(entry.shape)
        place = bisect_right(self._addresses, whole.data_ptr())
        self._addresses.insert(place, whole.data_ptr())
        self._pages.insert(place, pages)
        return tensors, header

    def expect(self, tensor: Tensor) -> None:
        """Let the disk begin to read the tensor."""
        self._advise(tensor, mmap.MADV_WILLNEED)

    def let_go(self, tensor: Tensor) -> None:
        """Give the tensor's pages back; they are read again when somebody looks."""
        self._advise(tensor, mmap.MADV_DONTNEED)

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor's numbers lie in a map."""
        return not tensor.numel() or self._place(tensor) is not None

    def _place(self, tensor: Tensor) -> int | None:
        place = bisect_right(self._addresses, tensor.data_ptr()) - 1
        inside = place >= 0 and tensor.data_ptr() - self._addresses[place] < len(self._pages[place])
        return place if inside else None

    def _advise(self, tensor: Tensor, advice: int) -> None:
        place = self._place(tensor) if tensor.numel() else None
        if place is None:
            return
        start = tensor.data_ptr() - self._addresses[place]
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        self._pages[place].madvise(advice, first, start - first + tensor.numel() * tensor.element_size())
