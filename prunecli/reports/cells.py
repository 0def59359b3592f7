"""How values are written in reports: three significant digits, and the exact value beside them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNDEFINED = "–"
# Controls, format marks (bidi, zero width), lone surrogates, private use, unassigned, line ends.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class Interval:
    """From low to high."""

    low: float
    high: float


@dataclass(frozen=True)
class Status:
    """Words that say whether something is as it should be; None where that is not the question."""

    words: str
    good: bool | None


Cell = str | int | float | bool | Interval | Status | None


@dataclass(frozen=True)
class Shown:
    """A cell as it is read, its exact value where that differs, and how it is to look."""

    text: str
    exact: str | None = None
    look: str = ""
    """`good`, `bad`, `undefined` or nothing."""


def shown(cell: Cell) -> Shown:
    """`cell` for people; the exact value is what Python would print of it."""
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return Shown(UNDEFINED, look="undefined")
    if isinstance(cell, bool):
        return Shown("yes" if cell else "no")
    if isinstance(cell, Status):
        return Shown(cell.words, look={True: "good", False: "bad", None: ""}[cell.good])
    if isinstance(cell, Interval):
        ends = (cell.low, cell.high)
        exact = " … ".join(map(repr, ends)) if any(map(_shortened, ends)) else None
        return Shown(" … ".join(map(number, ends)), exact)
    if isinstance(cell, str):
        return Shown(cell)
    return Shown(number(cell), repr(cell) if _shortened(cell) else None)


def as_given(value: float | None) -> Cell:
    """A number that somebody typed, as it was typed: it was measured by nobody and has no further digits."""
    return None if value is None else str(value)


def number(value: float) -> str:
    """Three significant digits, or all that stand before the point: 0.924, 1.00, 12,346, 2.40e-07.

    Whole numbers are whole, so that 1 is exactly 1 and 1.00 is not.
    """
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    scientific = f"{value:.2e}"
    exponent = int(scientific.partition("e")[2])
    if -4 <= exponent < 15:
        return f"{value:,.{max(0, 2 - exponent)}f}"
    return scientific


def gained(before: float | None, after: float | None) -> float | None:
    """How much more there is after than before; None where one of the two is unknown."""
    return None if before is None or after is None else after - before


def went(what: str, before: float, after: float) -> str:
    """The sentence on an accuracy in per cent: from where to where, and how many points that is."""
    verb = "gained" if after >= before else "lost"
    return f"{what} went from {before:.2f} % to {after:.2f} %: {abs(after - before):.2f} points {verb}."


def printable(value: Any) -> Any:
    """A JSON value whose strings, keys too, hold no character that is not seen: those stand as escapes.

    They would steer a terminal or a browser's text direction, and some may not stand in XML.
    """
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else "".join(map(_seen, value))
    if isinstance(value, Mapping):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


def _seen(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _shortened(value: float) -> bool:
    return float(number(value).replace(",", "")) != value
