"""Writing a checkpoint piece by piece: its header is known before its tensors, its document after them.

The file is the one that `write_checkpoint` makes of the same tensors and the same document, byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from prunecli.checkpoints.document import KEY, dump
from prunecli.checkpoints.mapping import DTYPES, Maps
from prunecli.checkpoints.source import open_source
from prunecli.checkpoints.wording import shown
from prunecli.checkpoints.writing import Written, write_whole
from prunecli.errors import InputRefused, WorkFailed

_WORDS = {dtype: word for word, dtype in DTYPES.items()}
_ORDER = {dtype: place for place, dtype in enumerate(DTYPES.values())}
_ALIGNMENT = 8

Pieces = Callable[[str], Iterable[Tensor]]
"""From a tensor's name to its numbers in order, some at a time; the shape of a piece does not count."""


@dataclass(frozen=True)
class Outline:
    """What is known of a tensor before it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class _Mark:
    """A piece as it was handed to the disk: its size, and a checksum over its bytes."""

    bytes: int
    crc: int


def write_streamed(
    path: str,
    outlines: Mapping[str, Outline],
    pieces: Pieces,
    *,
    draft: Mapping[str, Any],
    document: Callable[[], Mapping[str, Any]],
    force: bool = False,
    verify: Callable[[Mapping[str, Tensor]], None] | None = None,
) -> Written:
    """Write the tensors of `outlines`, each in its `pieces`, and the document; whole or not at all.

    `document` is asked once all tensors are written, and is `draft` but for texts of the same length: a
    digest that was not there before. The file is read back: header and metadata are as they were meant, and
    every piece has the checksum that it had when it was handed to the disk. Then `verify` gets its tensors,
    mapped. Raises WorkFailed for what cannot be written or does not read back,
    and what `verify` raises.
    """
    order = _in_order(outlines)
    if not order:
        raise WorkFailed("there are no tensors to write")
    first = _header(order, outlines, draft)
    marks: list[_Mark] = []
    meant = [first]

    def write(temporary: Path) -> None:
        with temporary.open("r+b", buffering=0) as file:
            _put(file, first)
            marks.extend(_written(file, order, outlines, pieces))
            meant[0] = _header(order, outlines, document())
            if len(meant[0]) != len(first):
                raise WorkFailed("the checkpoint's document grew while the tensors were written")
            file.seek(0)
            _put(file, meant[0])

    def measure(temporary: Path) -> tuple[int, str]:
        digest = _read_back(temporary, meant[0], marks)
        if verify is not None:
            with ExitStack() as held:
                verify(_mapped(temporary, held))
        return temporary.stat().st_size, digest

    size = len(first) + sum(outline.bytes for outline in outlines.values())
    return write_whole(path, write, measure=measure, expected_bytes=size, force=force)


def outlined_bytes(outlines: Mapping[str, Outline], document: Mapping[str, Any]) -> int:
    """The size of the file that tensors of these outlines and the document would be."""
    header = _header(_in_order(outlines), outlines, document)
    return len(header) + sum(outline.bytes for outline in outlines.values())


def _in_order(outlines: Mapping[str, Outline]) -> list[str]:
    return sorted(outlines, key=lambda name: (_ORDER[outlines[name].dtype], name.encode()))


def _header(order: Sequence[str], outlines: Mapping[str, Outline], document: Mapping[str, Any]) -> bytes:
    """The beginning of the file: eight bytes of length, then the header in the library's form."""
    whole: dict[str, Any] = {"__metadata__": dict(sorted({"format": "pt", KEY: dump(document)}.items()))}
    place = 0
    for name in order:
        outline = outlines[name]
        whole[name] = {
            "dtype": _WORDS[outline.dtype],
            "shape": [*outline.shape],
            "data_offsets": [place, place + outline.bytes],
        }
        place += outline.bytes
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // _ALIGNMENT) * _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _written(
    file: BinaryIO, order: Sequence[str], outlines: Mapping[str, Outline], pieces: Pieces
) -> Iterator[_Mark]:
    for name in order:
        left = outlines[name].bytes
        for piece in pieces(name):
            view = _bytes_of(piece, outlines[name].dtype)
            _put(file, view)
            left -= len(view)
            yield _Mark(len(view), zlib.crc32(view))
        if left:
            raise WorkFailed(f"the cut tensor {shown(name)} has {left:,} bytes less than was planned")


def _bytes_of(piece: Tensor, dtype: torch.dtype) -> memoryview:
    made = piece.to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
    return made.data


def _put(file: BinaryIO, content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) or 0 :]


def _read_back(path: Path, header: bytes, marks: Sequence[_Mark]) -> str:
    """The sha256 of the file; raises WorkFailed where it is not what was meant."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(max([len(header), *(mark.bytes for mark in marks)])))
    with path.open("rb", buffering=0) as file:
        if _filled(file, buffer[: len(header)]) != header:
            raise _damaged("its header differs")
        digest.update(header)
        for number, mark in enumerate(marks, 1):
            found = _filled(file, buffer[: mark.bytes])
            digest.update(found)
            if zlib.crc32(found) != mark.crc:
                raise _damaged(f"piece {number:,} of {len(marks):,} differs")
        if file.read(1):
            raise _damaged("there is something behind its last tensor")
    return digest.hexdigest()


def _filled(file: BinaryIO, view: memoryview) -> memoryview:
    """`view`, filled with what comes next in the file; what lacks at its end is cut off."""
    place = 0
    while place < len(view):
        count = file.readinto(view[place:])  # type: ignore[attr-defined]
        if not count:
            break
        place += count
    return view[:place]


def _mapped(path: Path, held: ExitStack) -> dict[str, Tensor]:
    """The tensors of the finished file, for as long as the context lasts; its header is read strictly."""
    try:
        source = held.enter_context(closing(open_source(path)))
        return Maps().load(source)[0]
    except InputRefused as error:
        raise WorkFailed(f"the written checkpoint does not read back: {error.message}") from error


def _damaged(what: str) -> WorkFailed:
    return WorkFailed(
        f"the written checkpoint is not what was meant: {what}",
        hints=["the disk or the memory may be failing; nothing was left behind"],
    )
