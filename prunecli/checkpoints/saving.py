"""Writing a pruned checkpoint: tensors and document in one safetensors file, compared with what was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from prunecli.checkpoints.document import KEY, dump
from prunecli.checkpoints.files import fill
from prunecli.checkpoints.safetensors_form import Outline, Stretch, bytes_of, header_of, in_order, read_back
from prunecli.checkpoints.soundness import dense_tensors
from prunecli.checkpoints.writing import Written, write_whole
from prunecli.errors import InputRefused, WorkFailed

STREAM = "<stdout>"
# Larger pieces leave the processor's cache between the checksum and the comparison.
_COMPARED_BYTES = 1 << 20


def write_checkpoint(
    path: str | Path | BinaryIO,
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
    *,
    force: bool = False,
) -> Written:
    """Write `tensors` under their names and `document` (JSON, metadata key `prunecli`) as safetensors.

    To a path: whole or not at all, read back and compared bit for bit. To a binary stream: the same bytes,
    then a flush; BrokenPipeError is the caller's. Types are kept; tensors that share memory are each
    written in full. Raises WorkFailed for what cannot be written, WrongUse as `check_output` does.
    """
    meant = _Meant.of(_writable(tensors), {"format": "pt", KEY: dump(document)})
    if not isinstance(path, (str, Path)):
        return _write_stream(path, meant)
    return write_whole(
        path,
        lambda temporary: fill(temporary, meant.pieces()),
        measure=lambda temporary: read_back(temporary, meant.header, meant.stretches()),
        expected_bytes=meant.size,
        force=force,
    )


def fill_with_tensors(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> None:
    """Make the file at `path` one that holds `tensors` and `metadata`, and compare it with them bit for bit.

    For files that get their name from somebody else. Raises WorkFailed where a bit differs, OSError where
    the disk does not take it.
    """
    meant = _Meant.of(tensors, metadata)
    fill(path, meant.pieces())
    read_back(path, meant.header, meant.stretches())


@dataclass(frozen=True, eq=False)
class _Meant:
    """A file as it shall be: its header, and its tensors in their order."""

    header: bytes
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> _Meant:
        outlines = {name: Outline.of(tensor) for name, tensor in tensors.items()}
        order = in_order(outlines)
        return cls(header_of(order, outlines, metadata), {name: tensors[name] for name in order})

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.header) + sum(Outline.of(tensor).bytes for tensor in self.tensors.values())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The file's bytes."""
        yield self.header
        for tensor in self.tensors.values():
            yield bytes_of(tensor, tensor.dtype)

    def stretches(self) -> Iterator[Stretch]:
        """What lies behind the header, to be compared with the tensors."""
        for name, tensor in self.tensors.items():
            view = bytes_of(tensor, tensor.dtype)
            for start in range(0, len(view), _COMPARED_BYTES):
                piece = view[start : start + _COMPARED_BYTES]
                yield Stretch(name, len(piece), partial(_same, piece))


def _same(piece: memoryview, found: bytearray) -> bool:
    return found == piece  # in this order: a memoryview would compare number by number


def _writable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each dense and in memory of the CPU."""
    if not tensors:
        raise WorkFailed("there are no tensors to write")
    try:
        return dense_tensors("the result", {name: _at_hand(tensor) for name, tensor in tensors.items()})
    except InputRefused as error:
        raise WorkFailed(error.message, hints=error.hints) from error


def _at_hand(tensor: Tensor) -> Tensor:
    """On the CPU and contiguous, when it is a tensor that can be."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return tensor
    return tensor.detach().cpu().contiguous()


def _write_stream(stream: BinaryIO, meant: _Meant) -> Written:
    digest = hashlib.sha256()
    try:
        for piece in meant.pieces():
            digest.update(piece)
            view = memoryview(piece)
            while view:
                view = view[stream.write(view) or 0 :]
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkFailed(f"standard output could not be written: {error.strerror}") from error
    return Written(STREAM, meant.size, digest.hexdigest())
