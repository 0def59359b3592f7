"""Writing a checkpoint piece by piece: its header is known before its tensors, its document after them.

The file is the one that `write_checkpoint` makes of the same tensors and the same document, byte by byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from prunecli.checkpoints.document import KEY, dump
from prunecli.checkpoints.files import current
from prunecli.checkpoints.mapping import Maps
from prunecli.checkpoints.safetensors_form import Outline, Stretch, bytes_of, header_of, in_order, read_back
from prunecli.checkpoints.source import open_source
from prunecli.checkpoints.wording import shown
from prunecli.checkpoints.writing import Written, write_whole
from prunecli.errors import InputRefused, WorkFailed

Pieces = Callable[[str], Iterable[Tensor]]
"""From a tensor's name to its numbers in order, some at a time; the shape of a piece does not count."""


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
    order = in_order(outlines)
    if not order:
        raise WorkFailed("there are no tensors to write")
    first = _header(order, outlines, draft)
    stretches: list[Stretch] = []
    meant = [first]

    def write(temporary: Path) -> None:
        place = current()
        with place.open(temporary) as file:
            place.write(file, first)
            stretches.extend(_written(file, order, outlines, pieces))
            meant[0] = _header(order, outlines, document())
            if len(meant[0]) != len(first):
                raise WorkFailed("the checkpoint's document grew while the tensors were written")
            file.seek(0)
            place.write(file, meant[0])

    def measure(temporary: Path) -> tuple[int, str]:
        found = read_back(temporary, meant[0], stretches)
        if verify is not None:
            with ExitStack() as held:
                verify(_mapped(temporary, held))
        return found

    size = len(first) + sum(outline.bytes for outline in outlines.values())
    return write_whole(path, write, measure=measure, expected_bytes=size, force=force)


def outlined_bytes(outlines: Mapping[str, Outline], document: Mapping[str, Any]) -> int:
    """The size of the file that tensors of these outlines and the document would be."""
    header = _header(in_order(outlines), outlines, document)
    return len(header) + sum(outline.bytes for outline in outlines.values())


def _header(order: Sequence[str], outlines: Mapping[str, Outline], document: Mapping[str, Any]) -> bytes:
    return header_of(order, outlines, {"format": "pt", KEY: dump(document)})


def _written(
    file: BinaryIO, order: Sequence[str], outlines: Mapping[str, Outline], pieces: Pieces
) -> Iterator[Stretch]:
    """What was handed to the disk, with a checksum over its bytes: the piece itself is let go."""
    place = current()
    for name in order:
        left = outlines[name].bytes
        for piece in pieces(name):
            view = bytes_of(piece, outlines[name].dtype)
            place.write(file, view)
            left -= len(view)
            yield Stretch(name, len(view), partial(_has_checksum, zlib.crc32(view)))
        if left:
            raise WorkFailed(f"the cut tensor {shown(name)} has {left:,} bytes less than was planned")


def _has_checksum(crc: int, found: bytearray) -> bool:
    return zlib.crc32(found) == crc


def _mapped(path: Path, held: ExitStack) -> dict[str, Tensor]:
    """The tensors of the finished file, for as long as the context lasts; its header is read strictly."""
    try:
        source = held.enter_context(closing(open_source(path)))
        return Maps().load(source)[0]
    except InputRefused as error:
        raise WorkFailed(f"the written checkpoint does not read back: {error.message}") from error
