"""Safetensors files that are not in order: lengths, JSON, names, types, shapes, offsets; cut off, longer, flipped."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hostile.making import (
    Case,
    cases,
    entry,
    placed,
    safetensors_bytes,
    sample_bytes,
    sample_header,
    small_weights,
)

NAME = "model.safetensors"
ONE = {"a": entry(0, 16, (2, 2))}
DATA = bytes(16)
FLIPS = 40


def _file(content: bytes) -> Callable[[Path], str]:
    return placed(NAME, content)


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def _changed(**fields: Any) -> dict[str, Any]:
    return {"a": {**ONE["a"], **fields}}


HEADERS: dict[str, tuple[object, str]] = {
    "no tensors": ({}, "holds no tensors"),
    "metadata only": ({"__metadata__": {"format": "pt"}}, "holds no tensors"),
    "not JSON": (b"{not json at all}", "is not JSON"),
    "JSON cut off": (b'{"a": {"dtype": "F32", ', "is not JSON"),
    "JSON with a comma too many": (json.dumps(ONE).encode()[:-1] + b",}", "is not JSON"),
    "a list": (b'[{"a": 1}]', "does not start with '{'"),
    "a space first": (b" " + json.dumps(ONE).encode(), "does not start with '{'"),
    "not UTF-8": (b'{"\xff\xfe": 1}', "not UTF-8"),
    "a lone surrogate": (b'{"\\ud800": ' + json.dumps(ONE["a"]).encode() + b"}", ""),
    "UTF-16": (json.dumps(ONE).encode("utf-16"), "does not start"),
    "zeros": (bytes(64), ""),
    "deep": (_deep(100_000), "nested too deep"),
    "a little deep": (_deep(900), ""),
    "deep lists": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
    "a name twice": (b'{"a":%s,"a":%s}' % ((json.dumps(ONE["a"]).encode(),) * 2), "holds a twice"),
    "metadata twice": (
        b'{"__metadata__":{},"__metadata__":{},"a":%s}' % json.dumps(ONE["a"]).encode(),
        "twice",
    ),
    "a field twice": (b'{"a":{"dtype":"F32","dtype":"F16","shape":[2,2],"data_offsets":[0,16]}}', "twice"),
    "NaN": (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}', "no JSON number"),
    "infinity": (b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,16]}}', "no JSON number"),
    "a number of 10,000 digits": (
        b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,16]}}' % (b"9" * 10_000),
        "",
    ),
    "metadata of numbers": ({"__metadata__": {"epoch": 3}, **ONE}, "metadata"),
    "metadata as a list": ({"__metadata__": ["a"], **ONE}, "metadata"),
    "metadata as null": ({"__metadata__": None, **ONE}, "metadata"),
    "metadata nested": ({"__metadata__": {"a": {"b": "c"}}, **ONE}, "metadata"),
    "an entry that is a number": ({"a": 3}, "otherwise than by"),
    "an entry that is null": ({"a": None}, "otherwise than by"),
    "an entry without a shape": ({"a": {"dtype": "F32", "data_offsets": [0, 16]}}, "otherwise than by"),
    "an entry with more": (_changed(strides=[1, 2]), "otherwise than by"),
    "an unknown type": (_changed(dtype="F33"), "unknown type"),
    "a type that is a number": (_changed(dtype=32), "unknown type"),
    "a type that is a list": (_changed(dtype=["F32"]), "unknown type"),
    "a sub-byte type": (_changed(dtype="F4"), "unknown type"),
    "a complex type": ({"a": entry(0, 16, (2,), "C64")}, "a complex tensor"),
    "float8": ({"a": entry(0, 16, (16,), "F8_E4M3")}, "a float8 tensor"),
    "float8 e8m0": ({"a": entry(0, 16, (16,), "F8_E8M0")}, "a float8 tensor"),
    "a negative size": (_changed(shape=[-2, -2]), "not whole numbers"),
    "a broken size": (_changed(shape=[1.5, 2]), "not whole numbers"),
    "a size that is true": (_changed(shape=[True, 4]), "not whole numbers"),
    "a size as text": (_changed(shape=["2", "2"]), "not whole numbers"),
    "a shape as text": (_changed(shape="22"), "not whole numbers"),
    "a size of 2**63": (_changed(shape=[1 << 63]), "not whole numbers"),
    "sizes that multiply to 2**64": (_changed(shape=[1 << 32, 1 << 32]), "does not fit"),
    "sizes that wrap around to 4": (_changed(shape=[(1 << 62) + 1, 4]), "does not fit"),
    "2**62 times nothing": (_changed(shape=[1 << 62, 0]), "does not fit"),
    "a lying shape": (_changed(shape=[2, 3]), "does not fit"),
    "a lying type": (_changed(dtype="F64"), "does not fit"),
    "a negative offset": (_changed(data_offsets=[-16, 0]), "not whole numbers"),
    "offsets the wrong way": (_changed(data_offsets=[16, 0]), "does not fit"),
    "one offset": (_changed(data_offsets=[0]), "not whole numbers"),
    "three offsets": (_changed(data_offsets=[0, 8, 16]), "not whole numbers"),
    "offsets beyond the end": ({"a": entry(0, 1 << 40, (1 << 38,))}, "cut off"),
    "offsets of 2**63": ({"a": entry((1 << 63) - 16, (1 << 63), (2, 2))}, ""),
    "overlap": ({"a": entry(0, 16, (4,)), "b": entry(8, 16, (2,))}, "overlaps"),
    "the same bytes twice": ({"a": entry(0, 16, (4,)), "b": entry(0, 16, (4,))}, "overlaps"),
    "a hole at the start": ({"a": entry(8, 16, (2,))}, "leaves a hole"),
    "a hole between": ({"a": entry(0, 4, (1,)), "b": entry(12, 16, (1,))}, "leaves a hole"),
    "bytes behind": ({"a": entry(0, 12, (3,))}, "behind its last tensor"),
    "misaligned": (
        {"a": entry(0, 3, (3,), "U8"), "b": entry(3, 15, (3,)), "c": entry(15, 16, (1,), "U8")},
        "",
    ),
    "one number of no network": ({"a": entry(0, 16, (4,))}, ""),
    "escape codes in a name": ({"\x1b[31mred\x1b[0m\n": entry(0, 8, (4,))}, "\\x1b[31mred"),
    "bidi in a name": ({"\u202egnp.exe": entry(0, 8, (4,))}, "\\u202e"),
    "a name of a million letters": ({"a" * 1_000_000: entry(0, 8, (4,))}, "…"),
    "a name of markup": ({"[bold]x[/bold][/]": entry(0, 8, (4,))}, "[bold]x[/bold][/]"),
    "an empty name": ({"": entry(0, 8, (4,))}, ""),
    "a name with a NUL": ({"a\x00b": entry(0, 8, (4,))}, "a\\x00b"),
    "a name of a path": ({"../../../etc/passwd": entry(0, 8, (4,))}, ""),
}


def _described() -> Iterator[Case]:
    for what, (header, says) in HEADERS.items():
        yield Case(what, _file(safetensors_bytes(header, DATA)), says=says)


def _lengths() -> Iterator[Case]:
    for length in (0, 1, 7, 1 << 24, 100_000_000, 100_000_001, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
        yield Case(f"a header that claims {length} bytes", _file(safetensors_bytes(ONE, DATA, length=length)))
    yield Case("a header of zeros in a file of zeros", _file(bytes(4096)), says="")


def _cut() -> Iterator[Case]:
    whole = sample_bytes()
    header, _ = sample_header()
    (length,) = struct.unpack("<Q", whole[:8])
    ends = sorted(8 + length + value["data_offsets"][1] for name, value in header.items() if name[0] != "_")
    places = {*range(1, 10), 8 + length // 2, 7 + length, 8 + length, 9 + length, *ends[:-1], len(whole) - 1}
    for end in sorted(places):
        yield Case(f"cut off at byte {end}", _file(whole[:end]))
    for more in (1, 8, 4096):
        yield Case(f"{more} bytes longer", _file(whole + bytes(more)), says="behind its last tensor")
    yield Case("twice", _file(whole + whole), says="behind its last tensor")


def _flipped() -> Iterator[Case]:
    whole = sample_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    chosen = random.Random(8)
    for _ in range(FLIPS):
        bit = chosen.randrange(8 * (8 + length))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        # A bit of what is shown only (the history, a version) is no fault of the file.
        yield Case(f"bit {bit} of the header flipped", _file(bytes(flipped)), codes=(0, 3))


def _nonfinite() -> Iterator[Case]:
    from safetensors.torch import save

    for what, value in {"NaN": "nan", "infinity": "inf", "minus infinity": "-inf"}.items():
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            weights = {name: tensor.to(dtype) for name, tensor in small_weights().items()}
            weights["linear.weight"][1, 2] = float(value)
            says = "linear.weight holds 1 " + ("NaN" if value == "nan" else "infinite")
            yield Case(f"{what} in {dtype}", _file(save(weights)), says=says)


CASES = [
    *cases("header", _described()),
    *cases("header", _lengths()),
    *cases("safetensors", _cut()),
    *cases("safetensors", _flipped()),
    *cases("safetensors", _nonfinite()),
]
