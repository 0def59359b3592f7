"""The bytes of a safetensors file, in the library's own form and always in the same order.

The library writes through a temporary file of its own beside the target, which a kill leaves behind, takes no
path that is not UTF-8, and puts the metadata in another order in every process. The form is small enough to
be made here: eight bytes of length, a header in JSON, the tensors in the order of their types and names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prunecli.checkpoints.files import current
from prunecli.checkpoints.header import read_header
from prunecli.checkpoints.mapping import DTYPES
from prunecli.checkpoints.source import open_source
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused, WorkFailed

_WORDS = {dtype: word for word, dtype in DTYPES.items()}
_ORDER = {dtype: place for place, dtype in enumerate(DTYPES.values())}
_ALIGNMENT = 8
_METADATA = "__metadata__"


@dataclass(frozen=True)
class Outline:
    """What is known of a tensor before it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Outline:
        """That of a tensor that is there."""
        return cls(tensor.dtype, tuple(tensor.shape))

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class Stretch:
    """Some bytes of a finished file: whose they are, how many, and whether those found are right."""

    name: str
    bytes: int
    is_right: Callable[[bytearray], bool]


def in_order(outlines: Mapping[str, Outline]) -> list[str]:
    """The names as the tensors lie in the file; raises WorkFailed for a tensor that the form cannot hold."""
    for name, outline in outlines.items():
        if outline.dtype not in _WORDS or name == _METADATA:
            kind = str(outline.dtype).removeprefix("torch.")
            raise WorkFailed(f"safetensors cannot hold the tensor {shown(name)} ({kind})")
    return sorted(outlines, key=lambda name: (_ORDER[outlines[name].dtype], _encoded(name)))


def header_of(order: Sequence[str], outlines: Mapping[str, Outline], metadata: Mapping[str, str]) -> bytes:
    """The beginning of the file: eight bytes of length, then the header."""
    whole: dict[str, object] = {_METADATA: dict(sorted(metadata.items()))}
    place = 0
    for name in order:
        outline = outlines[name]
        whole[name] = {
            "dtype": _WORDS[outline.dtype],
            "shape": [*outline.shape],
            "data_offsets": [place, place + outline.bytes],
        }
        place += outline.bytes
    text = _encoded(json.dumps(whole, separators=(",", ":"), ensure_ascii=False))
    text = text.ljust(-(-len(text) // _ALIGNMENT) * _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def bytes_of(tensor: Tensor, dtype: torch.dtype) -> memoryview:
    """The tensor's numbers in the type `dtype`, row by row; no copy where they already lie so."""
    made = tensor.detach().to("cpu", dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
    return made.data


def read_back(path: Path, header: bytes, stretches: Iterable[Stretch]) -> tuple[int, str]:
    """Size and sha256 of a finished file; raises WorkFailed where it is not what was meant.

    `stretches` follow the header without a hole; nothing may follow them. The header is also read as any
    checkpoint's is.
    """
    try:
        with closing(open_source(path)) as source:
            read_header(source)
    except InputRefused as error:
        raise WorkFailed(f"the written checkpoint does not read back: {error.message}") from error
    place, digest, size = current(), hashlib.sha256(), 0
    meant = [Stretch("its header", len(header), lambda found: found == header), *stretches]
    buffer = bytearray()
    with path.open("rb", buffering=0) as file:
        for stretch in meant:
            if len(buffer) != stretch.bytes:
                buffer = bytearray(stretch.bytes)
            if place.read(file, buffer) < stretch.bytes or not stretch.is_right(buffer):
                raise damaged(f"{stretch.name} differs")
            digest.update(buffer)
            size += stretch.bytes
        if file.read(1):
            raise damaged("there is something behind its last tensor")
    return size, digest.hexdigest()


def damaged(what: str) -> WorkFailed:
    """What is said of a written file that is not what was meant."""
    return WorkFailed(
        f"the written checkpoint is not what was meant: {what}",
        hints=["the disk or the memory may be failing; nothing was left behind"],
    )


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise WorkFailed(f"{shown(text)} cannot be written: it is no UTF-8") from error
