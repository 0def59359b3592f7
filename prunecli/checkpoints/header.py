"""The header of a safetensors file, read strictly before the library sees it.

The library takes duplicate names and a leading space, and gives its errors in Rust's words. The format:
8 bytes little-endian length, a JSON object {name: {dtype, shape, data_offsets}}, then the data, which the
tensors must cover from 0 to the end without hole or overlap.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from prunecli.checkpoints.source import Source
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused

# Room for a document of 16 MB beside the names; the format's own limit is 100,000,000, but JSON of
# that size takes gigabytes once it is parsed.
MAX_HEADER_BYTES = 32 << 20
MAX_TENSORS = 20_000  # of one file; each costs some 50 µs until it is known or refused
MAX_VALUES = 1_500_000  # 15 commas and brackets a tensor
_JSON_TEXT = re.compile(r'"[^"]*"')  # where no quote is escaped

ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
# Types that the library may give but no network here can use, in words.
SPECIAL_TYPES = {
    "C64": "a complex tensor",
    **{name: "a float8 tensor" for name in ITEM_BYTES if name[:2] == "F8"},
}
_KEYS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True)
class Entry:
    """One tensor: its type in the format's words, its shape, and its bytes counted from the data's start."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors by name in the file's order, and the metadata strings."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


class _BadJsonError(ValueError):
    """The JSON is not strict; the message is a phrase for a user."""


def strict_json(text: str, *, most_objects: int, most_values: int = MAX_VALUES) -> object:
    """Parse JSON that has no name twice, no NaN, no deep nesting and not too many objects and values.

    Raises ValueError with a phrase for a user.
    """
    _check_size(text, most_values)
    objects = 0

    def object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal objects
        objects += 1
        if objects > most_objects:
            raise _BadJsonError(f"holds more than {most_objects:,} objects")
        made = dict(pairs)
        if len(made) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise _BadJsonError(f"holds {shown(twice)} twice")
        return made

    def constant(word: str) -> NoReturn:
        raise _BadJsonError(f"holds {word}, which is no JSON number")

    try:
        parsed: object = json.loads(text, object_pairs_hook=object_of, parse_constant=constant)
    except _BadJsonError:
        raise
    except RecursionError:
        raise _BadJsonError("is nested too deep") from None
    except ValueError as error:
        raise _BadJsonError("is not JSON") from error
    return parsed


def _check_size(text: str, most_values: int) -> None:
    """Refuse text of so many lists or values that parsing it would take gigabytes."""
    if len(text) <= most_values:
        return
    if text.count(",") + text.count("[") <= most_values:
        return
    bare = _JSON_TEXT.sub("", text.replace("\\\\", "").replace('\\"', ""))
    if bare.count(",") + bare.count("[") > most_values:
        raise _BadJsonError(f"holds more than {most_values:,} values")


def read_header(source: Source) -> Header:
    """The checked header of a safetensors file; raises InputRefused."""
    length = _header_length(source)
    source.file.seek(8)
    raw = source.file.read(length)
    if raw[:1] != b"{":
        raise _refused(source, "has a header that does not start with '{'")
    try:
        parsed = strict_json(raw.decode("utf-8"), most_objects=MAX_TENSORS + 2)
    except UnicodeDecodeError as error:
        raise _refused(source, "has a header that is not UTF-8") from error
    except ValueError as error:
        raise _refused(source, f"has a header that {error}") from error
    if not isinstance(parsed, dict):
        raise _refused(source, "has a header that is not a JSON object")
    metadata = _metadata(source, parsed.pop("__metadata__", {}))
    entries = {name: _entry(source, name, value) for name, value in parsed.items()}
    _check_cover(source, entries, data_bytes=source.size - 8 - length)
    return Header(entries, metadata)


def _header_length(source: Source) -> int:
    source.file.seek(0)
    raw = source.file.read(8)
    if len(raw) < 8:
        raise _cut_off(source, "in its header")
    length = int.from_bytes(raw, "little")
    if length > MAX_HEADER_BYTES:
        raise _refused(source, f"claims a header of {length:,} bytes, at most {MAX_HEADER_BYTES:,} are read")
    if 8 + length > source.size:
        raise _cut_off(source, f"of at least {8 + length:,}")
    return length


def _metadata(source: Source, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _refused(source, "has metadata that is not a map from text to text")
    return value


def _entry(source: Source, name: str, value: object) -> Entry:
    if not isinstance(value, Mapping) or set(value) != _KEYS:
        raise _refused(source, f"describes {shown(name)} otherwise than by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _refused(source, f"holds {shown(name)} in the unknown type {shown(dtype)}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _refused(
            source, f"describes {shown(name)} with a shape or offsets that are not whole numbers from 0"
        )
    start, end = offsets
    if end - start != math.prod(shape) * ITEM_BYTES[dtype]:
        raise _refused(
            source, f"describes {shown(name)} with a shape that does not fit its {end - start:,} bytes"
        )
    return Entry(dtype, tuple(shape), start, end)


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _check_cover(source: Source, entries: Mapping[str, Entry], *, data_bytes: int) -> None:
    if not entries:
        raise _refused(source, "holds no tensors")
    needed = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != needed:
            fault = "overlaps another tensor" if entry.start < needed else "leaves a hole before it"
            raise _refused(source, f"places {shown(name)} so that it {fault}")
        needed = entry.end
    if needed > data_bytes:
        raise _cut_off(source, f"of {source.size - data_bytes + needed:,}")
    if needed < data_bytes:
        raise _refused(source, f"has {data_bytes - needed:,} bytes behind its last tensor")


def _cut_off(source: Source, where: str) -> InputRefused:
    return InputRefused(
        f"{source.name} is cut off: the file ends at {source.size:,} bytes {where}",
        hints=["download or copy it again"],
    )


def _refused(source: Source, what: str) -> InputRefused:
    return InputRefused(
        f"{source.name} {what}",
        hints=[
            "it is no valid safetensors file; download it again, or write it with the safetensors library"
        ],
    )
