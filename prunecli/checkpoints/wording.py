"""How names that come out of a file are shown: escaped, so that none can drive a terminal, and cut."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SHOWN_CHARACTERS = 200

# Controls, format marks (bidi, zero width), lone surrogates, private use, unassigned, line ends.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(text: object) -> str:
    """`text` on one line, with control characters escaped, at most 200 characters long."""
    whole = os.fspath(text) if isinstance(text, Path) else str(text)
    cut = whole if len(whole) <= SHOWN_CHARACTERS else whole[: SHOWN_CHARACTERS - 1] + "…"
    return "".join(map(_escaped, cut))


def listed(names: Iterable[object], *, total: int | None = None, most: int = 5) -> str:
    """The first `most` names, escaped and joined, and how many more there are of `total`."""
    known = list(names)
    count = len(known) if total is None else total
    first = ", ".join(shown(name) for name in known[:most])
    return f"{first} and {count - most:,} more" if count > most else first


def counted(number: int, noun: str) -> str:
    """`number` and its noun: "1 tensor", "1,234 tensors"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
