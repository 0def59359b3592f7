"""The channel graph as text: lanes as `git log --graph` has them, then every group in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunecli.reports.graphs.lanes import Lanes, Strand, lanes_of
from prunecli.reports.graphs.wording import coupling, fate, members

MADE, READ, MAY_LEAVE, STAYS = "●", "○", "│", "┊"
_ACROSS, _CROSSING = "─", "┼"
_IN_ASCII = str.maketrans({MADE: "*", READ: "o", MAY_LEAVE: "|", STAYS: ":", _ACROSS: "-", _CROSSING: "+"})


def as_text(document: Mapping[str, Any]) -> str:
    """Rows of layers with lanes beside them, an empty line, the groups."""
    lanes = lanes_of(document)
    width = [max((len(str(getattr(row, key))) for row in lanes.rows), default=0) for key in _COLUMNS]
    lines = [f"{MADE} makes the channels of a group  {READ} reads them  {STAYS} they stay", ""]
    for number, row in enumerate(lanes.rows):
        cells = [
            f"{row.layer:<{width[0]}}",
            f"{row.type:<{width[1]}}",
            f"{row.channels:>{width[2]}}",
            "; ".join(row.notes.values()),
        ]
        lines.append("  ".join([drawn(lanes, number), *cells]).rstrip())
    lines.append("")
    for group in document["groups"]:
        lines += _group(group)
    return "\n".join(lines) + "\n"


def in_ascii(text: str) -> str:
    """The same lanes for a terminal that has no other signs."""
    return text.translate(_IN_ASCII)


def drawn(lanes: Lanes, number: int) -> str:
    """The lanes of one row, two columns each."""
    row, passing = lanes.rows[number], lanes.passing(number)
    made, read = lanes.lanes(row.makes), lanes.lanes(row.reads)
    met = [*made, *read]
    first, last = min(met, default=0), max(met, default=0)
    marks = []
    for lane in range(lanes.count):
        inside = first <= lane < last
        marks.append(_mark(lane, passing.get(lane), made, read, across=first < lane < last))
        marks.append(_ACROSS if inside else " ")
    return "".join(marks).rstrip().ljust(2 * lanes.count - 1)


_COLUMNS = ("layer", "type", "channels")


def _mark(lane: int, strand: Strand | None, made: list[int], read: list[int], *, across: bool) -> str:
    if lane in made:
        return MADE
    if lane in read:
        return READ
    if strand is None:
        return _ACROSS if across else " "
    if across:
        return _CROSSING
    return MAY_LEAVE if strand.prunable else STAYS


def _group(group: Mapping[str, Any]) -> Iterator[str]:
    yield f"{group['name']}: {fate(group)}"
    for word, names in members(group).items():
        yield f"  {word:<8} {', '.join(names)}"
    met = coupling(group, shown=None)
    if met:
        yield f"  {'coupled':<8} by {met}"
