"""Writing a pruned checkpoint: tensors and document in one safetensors file, compared with what was meant."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import Tensor

from prunecli.checkpoints.document import KEY, dump
from prunecli.checkpoints.header import Header
from prunecli.checkpoints.safetensors import load_safetensors
from prunecli.checkpoints.soundness import dense_tensors
from prunecli.checkpoints.source import open_source
from prunecli.checkpoints.wording import shown
from prunecli.checkpoints.writing import Written, write_whole
from prunecli.errors import InputRefused, WorkFailed

STREAM = "<stdout>"
_HEADER_ROOM = 1 << 20


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
    metadata = {"format": "pt", KEY: dump(document)}
    made = _writable(tensors)
    if not isinstance(path, (str, Path)):
        return _write_stream(path, made, metadata)
    size = sum(tensor.numel() * tensor.element_size() for tensor in made.values())
    return write_whole(
        path,
        lambda temporary: _write_file(temporary, made, metadata),
        verify=lambda temporary: _compare(temporary, made, metadata),
        expected_bytes=size + len(metadata[KEY]) + _HEADER_ROOM,
        force=force,
    )


def _writable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, and no two in the same memory."""
    if not tensors:
        raise WorkFailed("there are no tensors to write")
    try:
        plain = dense_tensors("the result", {name: _at_hand(tensor) for name, tensor in tensors.items()})
    except InputRefused as error:
        raise WorkFailed(error.message, hints=error.hints) from error
    made: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in plain.items():
        own = tensor
        if own.numel() and own.untyped_storage().data_ptr() in memory:
            own = own.clone()
        memory.add(own.untyped_storage().data_ptr())
        made[name] = own
    return made


def _at_hand(tensor: Tensor) -> Tensor:
    """On the CPU and contiguous, when it is a tensor that can be."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return tensor
    return tensor.detach().cpu().contiguous()


def _write_file(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        if _is_utf8(path):
            save_file(tensors, path, metadata=metadata)
            with path.open("r+b") as file:
                _put_header_in_order(file)
        else:  # the library takes no other paths
            path.write_bytes(_serialised(tensors, metadata))
    except SafetensorError as error:
        raise WorkFailed(
            f"the checkpoint could not be written: {shown(error)}",
            hints=["nothing was left behind; a file that was there before is as it was"],
        ) from error


def _is_utf8(path: Path) -> bool:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _serialised(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    from safetensors.torch import save

    stream = io.BytesIO(save(tensors, metadata=metadata))
    _put_header_in_order(stream)
    return stream.getvalue()


def _put_header_in_order(file: IO[bytes]) -> None:
    """Sort the metadata in place: the library has another order in every process, and so other bytes."""
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    if len(text) <= size:  # spelled another way than here, it keeps the library's order
        file.seek(8)
        file.write(text.ljust(size))


def _compare(path: Path, meant: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Raise WorkFailed unless the file holds just these tensors, bit for bit, and this metadata."""
    try:
        with closing(open_source(path)) as source:
            found, header = load_safetensors(source)
    except InputRefused as error:
        raise WorkFailed(f"the written checkpoint does not read back: {error.message}") from error
    wrong = _first_difference(found, header, meant, metadata)
    if wrong is not None:
        raise WorkFailed(
            f"the written checkpoint is not what was meant: {wrong}",
            hints=["the disk or the memory may be failing; nothing was left behind"],
        )


def _first_difference(
    found: Mapping[str, Tensor], header: Header, meant: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> str | None:
    if header.metadata != metadata:
        return "its metadata differs"
    if found.keys() != meant.keys():
        return "it holds other tensors"
    for name, tensor in meant.items():
        if not _same_bits(found[name], tensor):
            return f"{shown(name)} differs"
    return None


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two contiguous tensors have type, shape and bytes in common (NaN equals NaN here)."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def _write_stream(stream: BinaryIO, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Written:
    content = _serialised(tensors, metadata)
    view = memoryview(content)
    try:
        while view:
            view = view[stream.write(view) or 0 :]
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkFailed(f"standard output could not be written: {error.strerror}") from error
    return Written(STREAM, len(content), hashlib.sha256(content).hexdigest())
