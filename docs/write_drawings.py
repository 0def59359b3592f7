"""Write docs/drawings/ for how_it_works.md; the colours of channels are what the channel graph says.

    python docs/write_drawings.py

The pictures follow light and dark by themselves. `tests/docs/test_how_it_works.py` fails when they are not
what this writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import torch
from torch import Tensor, nn

from prunecli.graph.channel_graph import ChannelGraph, build_graph

FOLDER = Path(__file__).with_name("drawings")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px;fill:#57606a}"
    ".paper{fill:#fff}.line{stroke:#8c959f;fill:none}.box{fill:#f6f8fa;stroke:#8c959f}.gone{stroke:#24292f;stroke-width:2}"
    "@media(prefers-color-scheme:dark){.paper{fill:#0d1117}text{fill:#e6edf3}.small{fill:#9da7b3}.line{stroke:#6e7681}"
    ".box{fill:#161b22;stroke:#6e7681}.gone{stroke:#f0f6fc}}"
)
# Of medium lightness, so that they stand out on white and on black.
COLOURS = ("#d1495b", "#3d8fd1", "#e0912f", "#4a9d5b", "#9067c6", "#2aa6a1", "#b5734a", "#8a8d91")
SIDE, STEP, GAP = 18, 24, 120


class Residual(nn.Module):
    """A block whose branch is added to what goes round it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)
        self.outer, self.head = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H, W)."""
        x = self.stem(x)
        found: Tensor = self.head(x + self.outer(self.inner(x).relu()))
        return found


class Shuffle(nn.Module):
    """Two halves of three channels, dealt out like cards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H, W)."""
        x = self.first(x)
        n, c, h, w = x.shape
        found: Tensor = self.second(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))
        return found


@dataclass(frozen=True)
class Column:
    """The channels of one side of a layer, top down: which of them belong together."""

    caption: str
    channels: tuple[tuple[int, ...], ...]


def column(graph: ChannelGraph, tensor: str, axis: int, caption: str) -> Column:
    """One dimension of a weight: for each position its channels, as (group, channel) of every group there."""
    found: dict[int, list[int]] = {}
    for number, group in enumerate(graph.groups):
        for member in group.members:
            if (member.tensor, member.axis) == (tensor, axis):
                pairs = sorted(zip(member.positions.tolist(), member.units.tolist(), strict=True))
                for position, unit in pairs:
                    found.setdefault(position, []).append(10 * number + unit)
    return Column(caption, tuple(tuple(found[position]) for position in sorted(found)))


def residual() -> str:
    """The residual block, with one channel of each group on its way out."""
    graph = build_graph(Residual(), (1, 4, 4))
    places = (("stem", 0), ("inner", 1), ("inner", 0), ("outer", 1), ("outer", 0), ("head", 1))
    columns = [
        column(graph, f"{name}.weight", axis, f"{name} {('makes', 'reads')[axis]}") for name, axis in places
    ]
    leaving = {columns[0].channels[2], columns[2].channels[1]}
    pairs = ((0, 1), (2, 3), (4, 5))
    round_it = '<path class="line" d="M39 28C160 8 560 8 639 28"/>'
    around = round_it + _text(30 + 2.5 * GAP, 9, "+ what goes round the block", "small", "middle")
    return _channels(columns, pairs, leaving=leaving, extra=around)


def shuffle() -> str:
    """The channel shuffle: positions move, and channels are found again behind it."""
    graph = build_graph(Shuffle(), (1, 4, 4))
    first = column(graph, "first.weight", 0, "first makes")
    second = column(graph, "second.weight", 1, "second reads")
    group = next(each for each in graph.groups if each.reason is None)
    number = 10 * graph.groups.index(group)
    leaving = {each for each in first.channels if any(key == number + 1 for key in each)}
    return _channels([first, second], ((0, 1),), leaving=leaving, by=number)


def road() -> str:
    """From file to file, in two rows."""
    rows = (
        (
            ("checkpoint", "read, nothing run"),
            ("architecture", "by names and shapes"),
            ("channel graph", "one run on shapes"),
            ("scores", "by a criterion"),
        ),
        (
            ("small file", "tensors and plan"),
            ("proof", "cut = masked"),
            ("surgery", "narrow tensors"),
            ("plan", "which channels leave"),
        ),
    )
    parts = []
    for row, boxes in enumerate(rows):
        for place, (name, what) in enumerate(boxes):
            parts.append(_box(20 + 175 * place, 20 + 100 * row, name, what))
        for place in range(len(boxes) - 1):
            left, right, y = 165 + 175 * place, 195 + 175 * place, 45 + 100 * row
            parts.append(_arrow(left, y, right, y) if row == 0 else _arrow(right, y, left, y))
    parts.append(_arrow(617, 70, 617, 120))
    return _drawing(710, 190, parts)


def proof() -> str:
    """The two networks that have to agree."""
    parts = [
        _box(20, 70, "random input", "float64, batch 2"),
        _box(215, 20, "whole network", "channels set to zero"),
        _box(215, 120, "cut network", "channels gone"),
        _box(410, 20, "outputs", "inference, training"),
        _box(410, 120, "outputs", "inference, training"),
        _box(605, 70, "equal to 1e-9?", "else nothing is written"),
        *(
            _arrow(*line)
            for line in ((165, 85, 215, 45), (165, 105, 215, 145), (360, 45, 410, 45), (360, 145, 410, 145))
        ),
        *(_arrow(*line) for line in ((555, 45, 605, 85), (555, 145, 605, 105))),
    ]
    return _drawing(770, 190, parts)


def _channels(
    columns: Sequence[Column],
    pairs: Sequence[tuple[int, int]],
    *,
    leaving: set[tuple[int, ...]],
    by: int | None = None,
    extra: str = "",
) -> str:
    """Columns of squares: equal channels joined, those of `leaving` crossed, coloured by the group `by`."""
    parts = [extra]
    keys = [key for each in columns for key in each.channels]
    colours = _coloured([_key(key, by) for key in keys])
    for left, right in pairs:
        for a, key in enumerate(columns[left].channels):
            b = columns[right].channels.index(key)
            x, y = 30 + GAP * left + SIDE, 50 + STEP * a + SIDE / 2
            end = 50 + STEP * b + SIDE / 2
            parts.append(f'<path class="line" d="M{x} {y}L{30 + GAP * right} {end}"/>')
    for place, each in enumerate(columns):
        x = 30 + GAP * place
        for index, key in enumerate(each.channels):
            y = 50 + STEP * index
            colour = colours[_key(key, by)]
            parts.append(f'<rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" rx="3" fill="{colour}"/>')
            if key in leaving:
                parts.append(f'<path class="gone" d="M{x} {y}l{SIDE} {SIDE}m0 -{SIDE}l-{SIDE} {SIDE}"/>')
        parts.append(_text(x + SIDE / 2, 40, each.caption, "small", "middle"))
    tall = max(len(each.channels) for each in columns)
    return _drawing(60 + GAP * (len(columns) - 1) + SIDE, 64 + STEP * tall, parts)


def _key(channel: tuple[int, ...], by: int | None) -> tuple[int, ...]:
    return channel if by is None else tuple(key for key in channel if by <= key < by + 10)


def _coloured(keys: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], str]:
    return {key: COLOURS[number % len(COLOURS)] for number, key in enumerate(dict.fromkeys(keys))}


def _box(x: float, y: float, name: str, what: str) -> str:
    frame = f'<rect class="box" x="{x}" y="{y}" width="145" height="50" rx="6"/>'
    return frame + _text(x + 72, y + 22, name, "", "middle") + _text(x + 72, y + 40, what, "small", "middle")


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path class="line" marker-end="url(#tip)" d="M{x} {y}L{to_x} {to_y}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _drawing(width: float, height: float, parts: Sequence[str]) -> str:
    tip = '<marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    tip += '<path class="line" d="M1 1L7 4L1 7"/></marker>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
    paper = f'<rect class="paper" width="{width:g}" height="{height:g}" rx="6"/>'
    start = [head, f"<style>{STYLE}</style><defs>{tip}</defs>", paper]
    return "\n".join([*start, *filter(None, parts), "</svg>", ""])


def drawings() -> Mapping[str, str]:
    """File name → what stands in it."""
    torch.manual_seed(0)
    made = {"road": road, "residual": residual, "shuffle": shuffle, "proof": proof}
    return {f"{name}.svg": draw() for name, draw in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawings().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
