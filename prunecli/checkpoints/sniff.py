"""What a file is, from its first bytes: one of the four kinds that are read, or the name of something else.

"safetensors"   8 bytes of header length, then a JSON object
"torch zip"     what torch.save has written since 1.6
"torch legacy"  what torch.save wrote before: pickles, then storages
"shard index"   the JSON of a sharded safetensors checkpoint
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused

HEAD_BYTES = 4096

SAFETENSORS = "safetensors"
TORCH_ZIP = "torch zip"
TORCH_LEGACY = "torch legacy"
SHARD_INDEX = "shard index"

_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number 0x1950A86A20F9469CFC6C, pickled
_JSON_START = re.compile(rb"\s*[{\[]\s*([\"{}\[\]0-9tfn-]|$)")  # `[model]` begins a TOML file
_VALID = "valid: .safetensors, what torch.save wrote (.pt .pth .th .tar .bin .ckpt), or a *.index.json"
_AGAIN = "download it again, or look at the address it came from"


@dataclass(frozen=True)
class Signature:
    """What a foreign file is called, how its first bytes tell, and what to do about it."""

    what: str
    tells: Callable[[bytes], bool]
    hint: str = _VALID


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _is_html(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<body"))


def _is_onnx(head: bytes) -> bool:
    # ModelProto: ir_version (field 1, a small number), then producer_name, opset_import, graph or domain.
    small = len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 20
    return small and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42) and b"\x00" not in head[2:4]


FOREIGN: tuple[Signature, ...] = (
    Signature(
        "a Git LFS pointer: the file itself was never fetched",
        _starts(b"version https://git-lfs.github.com/spec", b"version https://hawser.github.com/spec"),
        "fetch it: git lfs pull",
    ),
    Signature("an HTML or XML page: the download gave a web page instead of the file", _is_html, _AGAIN),
    Signature("a JPEG image", _starts(b"\xff\xd8\xff")),
    Signature("a PNG image", _starts(b"\x89PNG\r\n\x1a\n")),
    Signature("a GIF image", _starts(b"GIF87a", b"GIF89a")),
    Signature("a WebP image", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    Signature("a PDF document", _starts(b"%PDF-")),
    Signature(
        "an HDF5 file (Keras, TensorFlow)",
        _starts(b"\x89HDF\r\n\x1a\n"),
        "convert the weights to .safetensors first",
    ),
    Signature(
        "a GGUF file: quantised weights for llama.cpp",
        _starts(b"GGUF"),
        "prune the original checkpoint and quantise afterwards",
    ),
    Signature("a gzip archive", _starts(b"\x1f\x8b"), "unpack it first: gunzip, or tar xzf"),
    Signature("an xz archive", _starts(b"\xfd7zXZ\x00"), "unpack it first: unxz, or tar xJf"),
    Signature("a bzip2 archive", _starts(b"BZh"), "unpack it first: bunzip2, or tar xjf"),
    Signature("a zstd archive", _starts(b"\x28\xb5\x2f\xfd"), "unpack it first: unzstd"),
    Signature("a 7-Zip archive", _starts(b"7z\xbc\xaf\x27\x1c"), "unpack it first: 7z x"),
    Signature("a RAR archive", _starts(b"Rar!\x1a\x07"), "unpack it first: unrar x"),
    Signature("a tar archive", lambda head: head[257:262] == b"ustar", "unpack it first: tar xf"),
    Signature("an empty zip archive", _starts(b"PK\x05\x06")),
    Signature("a program (ELF)", _starts(b"\x7fELF")),
    Signature("a script", _starts(b"#!")),
    Signature("an SQLite data base", _starts(b"SQLite format 3\x00")),
    Signature("a NumPy array", _starts(b"\x93NUMPY"), "convert the weights to .safetensors first"),
    Signature("a TensorFlow Lite model", lambda head: head[4:8] == b"TFL3"),
    Signature("an ONNX model", _is_onnx, "prune the checkpoint that it was exported from"),
)


def kind_of(head: bytes, *, path: str, size: int) -> str:
    """The kind of the file that starts with `head` (its first 4096 bytes or all of them).

    `path` is what it is called, `size` its length in bytes. Raises InputRefused with what the file is
    when it is no checkpoint.
    """
    if not size:
        raise InputRefused(f"{shown(path)} is empty: 0 bytes", hints=[_AGAIN])
    if head.startswith(b"PK\x03\x04"):
        return TORCH_ZIP
    if head[:1] == b"\x80" and _LEGACY_MAGIC in head[:40]:
        return TORCH_LEGACY
    if head[4:9] == b"\x00\x00\x00\x00{":  # before the rest: a header of 35,615 bytes begins like gzip
        return SAFETENSORS
    for signature in FOREIGN:
        if signature.tells(head):
            raise InputRefused(f"{shown(path)} is {signature.what}", hints=[signature.hint])
    if head[8:9] == b"{":
        return SAFETENSORS
    if _JSON_START.match(head):
        return _json_kind(head, path)
    if PurePath(path).suffix == ".safetensors":
        return SAFETENSORS  # the strict look at the header says what is wrong with it
    raise _unknown(head, path)


def _json_kind(head: bytes, path: str) -> str:
    if path.endswith(".index.json") or b'"weight_map"' in head:
        return SHARD_INDEX
    raise InputRefused(f"{shown(path)} is JSON text, not weights", hints=[_VALID])


def _unknown(head: bytes, path: str) -> InputRefused:
    if not head.strip(b"\x00"):
        why = "starts with zeros only: a download that was never finished"
        return InputRefused(f"{shown(path)} {why}", hints=[_AGAIN])
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return InputRefused(
            f"{shown(path)} is a plain Python pickle, which is a program; torch.save did not write it",
            hints=["where it was made, save the weights alone: torch.save(model.state_dict(), 'weights.pt')"],
        )
    text = head[:60].decode("utf-8", "ignore")  # the last character may be cut
    if len(text.encode()) > len(head[:60]) - 4 and all(c.isprintable() or c in "\r\n\t" for c in text):
        return InputRefused(
            f"{shown(path)} is a text file, not a checkpoint", hints=[f"it starts: {shown(text)}"]
        )
    start = head[:16].hex(" ")
    return InputRefused(f"{shown(path)} is no checkpoint", hints=[f"its first bytes are {start}", _VALID])
