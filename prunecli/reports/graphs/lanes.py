"""Where everything stands in the picture of a channel graph: a lane for each group, a row for each layer.

A group has its lane from the first layer that makes or reads it to the last; then the lane is free
for another. So a residual stream runs straight down, and what happens inside a block stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.reports.graphs.wording import coupling, fate

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Strand:
    """One group in its lane, in rows from `first` to `last`."""

    name: str
    lane: int
    first: int
    last: int
    prunable: bool
    number: int
    """Its place among the groups that are drawn, for its colour."""


@dataclass(frozen=True)
class Row:
    """One layer: the groups that it reads and makes, and what is said of those that begin here."""

    layer: str
    type: str
    channels: int
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    notes: Mapping[str, str]
    """Group → what is to say of it where it begins."""


@dataclass(frozen=True)
class Lanes:
    """Rows from top to bottom and the groups beside them."""

    rows: tuple[Row, ...]
    strands: Mapping[str, Strand]

    @property
    def count(self) -> int:
        """How many lanes there are side by side."""
        return 1 + max((strand.lane for strand in self.strands.values()), default=-1)

    def lanes(self, names: Sequence[str]) -> list[int]:
        """The lanes of groups."""
        return [self.strands[name].lane for name in names]

    def passing(self, row: int) -> dict[int, Strand]:
        """Lane → the group that is in it in a row."""
        return {each.lane: each for each in self.strands.values() if each.first <= row <= each.last}


def lanes_of(document: Document) -> Lanes:
    """The lanes of a document with `groups` and `flow`, as `inspect` has them.

    What no layer makes and cannot leave is shown only where it has several channels, as the image has.
    """
    groups = {group["name"]: group for group in document["groups"] if _shown(group)}
    flow = [
        {**row, **{role: [name for name in row[role] if name in groups] for role in ("reads", "makes")}}
        for row in document["flow"]
    ]
    strands = _strands(flow, groups)
    begun: set[str] = set()
    rows = []
    for row in flow:
        new = [name for name in (*row["makes"], *row["reads"]) if name not in begun]
        begun.update(new)
        notes = {name: said for name in new if (said := _note(groups[name], row))}
        names = tuple(row["reads"]), tuple(row["makes"])
        rows.append(Row(row["layer"], row["type"], row["channels"], *names, notes))
    return Lanes(tuple(rows), strands)


def _shown(group: Mapping[str, Any]) -> bool:
    made = any(member.get("role") == "makes" for member in group["members"])
    return bool(group["prunable"] or made or group["channels"] > 1)


def _note(group: Mapping[str, Any], row: Document) -> str:
    """What is not to be seen of a group that begins in a row: nothing where the layer says it all."""
    own = group["name"] == row["layer"]
    said = [] if own and group["prunable"] and group["channels"] == row["channels"] else [fate(group)]
    met = coupling(group)
    if met and group["prunable"]:
        said.append(f"coupled by {met}")
    return f"{'' if own or not said else group['name'] + ': '}{', '.join(said)}"


def _strands(flow: Sequence[Document], groups: Mapping[str, Document]) -> dict[str, Strand]:
    """The longest first, each in the leftmost lane that is free all along it: streams stand on the left."""
    spans: dict[str, list[int]] = {}
    for number, row in enumerate(flow):
        for name in (*row["reads"], *row["makes"]):
            spans.setdefault(name, [number, number])[1] = number
    taken: list[list[list[int]]] = []  # lane → the spans in it
    at = {}
    for name, span in sorted(spans.items(), key=lambda each: each[1][0] - each[1][1]):
        free = (lane for lane, others in enumerate(taken) if all(_apart(span, other) for other in others))
        lane = next(free, len(taken))
        taken[lane:] = [*taken[lane:]] or [[]]
        taken[lane].append(span)
        at[name] = lane
    return {
        name: Strand(name, at[name], first, last, bool(groups[name]["prunable"]), number)
        for number, (name, (first, last)) in enumerate(spans.items())
    }


def _apart(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[1] < other[0] or other[1] < one[0]
