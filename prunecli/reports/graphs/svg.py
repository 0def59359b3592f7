"""The channel graph as SVG: lanes from top to bottom, layers beside them, no library and nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from prunecli.reports.cells import printable
from prunecli.reports.graphs.lanes import Lanes, Row, Strand, lanes_of

COLOURS = ("#1f5fa8", "#b3401f", "#2e8b57", "#7a4fa3", "#c77c11", "#1d8a99", "#c2569a", "#6b6b2a")
_STAYS, _INK, _QUIET = "#8a97a8", "#1c2126", "#5a636d"
_FIXED = 'font-family="ui-monospace, Consolas, DejaVu Sans Mono, monospace" font-size="11"'
_SPEECH = 'font-family="system-ui, Liberation Sans, sans-serif" font-size="10.5"'
_ROW, _LANE, _MARGIN, _TOP = 20, 16, 12, 46
_LETTER = 6.7
"""Width of a letter of the fixed font at 11 pixels."""
_NOTE_LETTER, _LONGEST_NOTE = 5.6, 110
_NARROWEST = 700
"""What the legend takes."""


def as_svg(document: Mapping[str, Any], *, after: Mapping[str, int] | None = None) -> str:
    """A picture on white; `after` says of layers how many filters they keep, where they were cut."""
    lanes = lanes_of(printable(document))
    kept = after or {}
    counts = [_count(row, kept) for row in lanes.rows]
    names_at = 2 * _MARGIN + _LANE * lanes.count
    types_at = names_at + _LETTER * (2 + max((len(row.layer) for row in lanes.rows), default=0))
    counts_at = types_at + _LETTER * (2 + max((len(row.type) for row in lanes.rows), default=0))
    ends_at = counts_at + _LETTER * max(map(len, counts), default=0)
    notes_at = ends_at + 2 * _LETTER
    longest = max((len(_note(row)) for row in lanes.rows), default=0)
    width = max(notes_at + _NOTE_LETTER * longest + _MARGIN, _NARROWEST)
    height = _TOP + _ROW * len(lanes.rows) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" {_FIXED}>',
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        *_legend(),
        *_stripes(len(lanes.rows), width),
        *(_strand(strand) for strand in lanes.strands.values()),
    ]
    for number, row in enumerate(lanes.rows):
        parts += _marks(lanes, row, number)
        y = _y(number) + 4
        parts.append(f'<text x="{names_at}" y="{y}" fill="{_INK}">{escape(row.layer)}</text>')
        parts.append(f'<text x="{types_at:.0f}" y="{y}" fill="{_QUIET}">{escape(row.type)}</text>')
        end = f'text-anchor="end" x="{ends_at:.0f}" y="{y}" fill="{_INK}"'
        parts.append(f"<text {end}>{escape(counts[number])}</text>")
        if row.notes:
            parts.append(_remark(_note(row), notes_at, y, _colour(lanes.strands[next(iter(row.notes))])))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _count(row: Row, kept: Mapping[str, int]) -> str:
    left = kept.get(row.layer, row.channels)
    return str(row.channels) if left == row.channels else f"{row.channels} → {left}"


def _note(row: Row) -> str:
    text = "; ".join(row.notes.values())
    return text if len(text) <= _LONGEST_NOTE else f"{text[: _LONGEST_NOTE - 1]}…"


def _remark(text: str, x: float, y: int, colour: str) -> str:
    dark = _QUIET if colour == _STAYS else colour
    return f'<text x="{x:.0f}" y="{y}" fill="{dark}" {_SPEECH}>{escape(text)}</text>'


def _legend() -> Iterator[str]:
    y = 22
    font, ring = f'fill="{_QUIET}" {_SPEECH}', f'fill="#ffffff" stroke="{_INK}" stroke-width="1.5"'
    yield f'<circle cx="{_MARGIN + 6}" cy="{y - 4}" r="4.5" fill="{_INK}"/>'
    yield f'<text x="{_MARGIN + 16}" y="{y}" {font}>makes the channels</text>'
    yield f'<circle cx="{_MARGIN + 140}" cy="{y - 4}" r="3.8" {ring}/>'
    yield f'<text x="{_MARGIN + 150}" y="{y}" {font}>reads them</text>'
    yield (
        f'<path d="M{_MARGIN + 232} {y - 4}h22" stroke="{_STAYS}" stroke-width="2" stroke-dasharray="4 3"/>'
    )
    yield f'<text x="{_MARGIN + 260}" y="{y}" {font}>a group that stays</text>'
    yield f'<path d="M{_MARGIN + 382} {y - 4}h22" stroke="{COLOURS[0]}" stroke-width="2.5"/>'
    yield f'<text x="{_MARGIN + 410}" y="{y}" {font}>a group whose channels may leave, each as one</text>'


def _stripes(rows: int, width: float) -> Iterator[str]:
    for number in range(0, rows, 2):
        yield f'<rect x="0" y="{_y(number) - _ROW // 2}" width="{width:.0f}" height="{_ROW}" fill="#f5f6f4"/>'


def _strand(strand: Strand) -> str:
    x, start, end = _x(strand.lane), _y(strand.first), _y(strand.last)
    dashes = "" if strand.prunable else ' stroke-dasharray="4 3"'
    thickness = 2.5 if strand.prunable else 2
    path = f'd="M{x} {start}V{end}" fill="none" stroke="{_colour(strand)}" stroke-width="{thickness}"{dashes}'
    return f"<path {path}><title>{escape(strand.name)}</title></path>"


def _marks(lanes: Lanes, row: Row, number: int) -> Iterator[str]:
    """A line from what is read to what is made, a ring and a dot at its ends."""
    y = _y(number)
    met = [_x(lane) for lane in lanes.lanes((*row.reads, *row.makes))]
    if met and min(met) < max(met):
        yield f'<path d="M{min(met)} {y}H{max(met)}" fill="none" stroke="{_QUIET}" stroke-width="1.2"/>'
    for name in row.reads:
        strand = lanes.strands[name]
        ring = f'r="3.8" fill="#ffffff" stroke="{_colour(strand)}" stroke-width="1.6"'
        yield f'<circle cx="{_x(strand.lane)}" cy="{y}" {ring}/>'
    for name in row.makes:
        strand = lanes.strands[name]
        yield f'<circle cx="{_x(strand.lane)}" cy="{y}" r="4.5" fill="{_colour(strand)}"/>'


def _colour(strand: Strand) -> str:
    return COLOURS[strand.number % len(COLOURS)] if strand.prunable else _STAYS


def _x(lane: int) -> int:
    return _MARGIN + _LANE // 2 + _LANE * lane


def _y(row: int) -> int:
    return _TOP + _ROW * row + _ROW // 2 - _ROW // 4
