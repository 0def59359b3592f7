"""The plan: which positions leave which tensors, and which attributes follow. Data, JSON both ways."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prunecli.checkpoints.json_files import json_of
from prunecli.errors import InputRefused

SCHEMA = "prunecli.plan/1"


@dataclass(frozen=True)
class Cut:
    """Positions that leave one dimension of a parameter or buffer; `size` is the dimension before."""

    tensor: str
    axis: int
    size: int
    removed: tuple[int, ...]

    @property
    def kept(self) -> list[int]:
        """The positions that stay, in order."""
        return np.delete(np.arange(self.size), self.removed).tolist() if self.removed else [*range(self.size)]


@dataclass(frozen=True)
class AttributeChange:
    """An integer (or tuple of integers) of a module that follows the channels."""

    module: str
    attribute: str
    before: int | tuple[int, ...]
    after: int | tuple[int, ...]


@dataclass(frozen=True)
class Scaling:
    """Rows of a tensor, before anything leaves it, that are multiplied so that a constant may change."""

    tensor: str
    axis: int
    rows: tuple[int, ...]
    factor: float


@dataclass(frozen=True)
class GroupCut:
    """The channels chosen in one group."""

    name: str
    channels: int
    removed: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All cuts, attribute changes and scalings that turn one architecture into a smaller one."""

    cuts: tuple[Cut, ...] = ()
    attributes: tuple[AttributeChange, ...] = ()
    groups: tuple[GroupCut, ...] = ()
    scalings: tuple[Scaling, ...] = ()

    @property
    def removed(self) -> dict[str, tuple[int, ...]]:
        """Group name → the channels that leave it."""
        return {group.name: group.removed for group in self.groups}

    def document(self) -> dict[str, Any]:
        """The plan as JSON values; equal index lists are stored once."""
        index_sets: dict[tuple[int, ...], int] = {}

        def number(removed: tuple[int, ...]) -> int:
            return index_sets.setdefault(removed, len(index_sets))

        cuts = [
            {"tensor": c.tensor, "axis": c.axis, "size": c.size, "removed": number(c.removed)}
            for c in self.cuts
        ]
        groups = [{"name": g.name, "channels": g.channels, "removed": number(g.removed)} for g in self.groups]
        attributes = [
            {
                "module": a.module,
                "attribute": a.attribute,
                "before": _plain(a.before),
                "after": _plain(a.after),
            }
            for a in self.attributes
        ]
        scalings = [
            {"tensor": s.tensor, "axis": s.axis, "rows": number(s.rows), "factor": s.factor}
            for s in self.scalings
        ]
        return {
            "schema": SCHEMA,
            "index_sets": [list(removed) for removed in index_sets],
            "cuts": cuts,
            "attributes": attributes,
            "groups": groups,
            "scalings": scalings,
        }

    def to_json(self) -> str:
        """The plan as one JSON text."""
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_document(cls, document: object) -> Plan:
        """Read a plan back; raises InputRefused naming what does not fit."""
        if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
            raise InputRefused(f"not a plan: the schema is not {SCHEMA!r}")
        try:
            sets = [_indices(found) for found in document["index_sets"]]
            cuts = [
                Cut(str(c["tensor"]), _whole(c["axis"]), _whole(c["size"]), sets[_whole(c["removed"])])
                for c in document["cuts"]
            ]
            groups = [
                GroupCut(str(g["name"]), _whole(g["channels"]), sets[_whole(g["removed"])])
                for g in document["groups"]
            ]
            attributes = [
                AttributeChange(
                    str(a["module"]), str(a["attribute"]), _count(a["before"]), _count(a["after"])
                )
                for a in document["attributes"]
            ]
            scalings = [
                Scaling(str(s["tensor"]), _whole(s["axis"]), sets[_whole(s["rows"])], _factor(s["factor"]))
                for s in document.get("scalings", ())
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputRefused(f"a broken plan: {type(error).__name__}: {error}") from None
        for cut in cuts:
            _check_range(cut.tensor, cut.size, cut.removed)
        for group in groups:
            _check_range(group.name, group.channels, group.removed)
        for change in attributes:
            _check_fall(change)
        return cls(tuple(cuts), tuple(attributes), tuple(groups), tuple(scalings))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan from JSON text; raises InputRefused when it is none."""
        try:
            return cls.from_document(json_of(text))
        except ValueError as error:
            raise InputRefused(f"not a plan: the text {error}") from None

    def then(self, later: Plan) -> Plan:
        """The plan followed by one made for its result, as one plan in the coordinates of the first."""
        cuts = {(cut.tensor, cut.axis): cut for cut in self.cuts}
        for cut in later.cuts:
            earlier = cuts.get((cut.tensor, cut.axis))
            if earlier is not None:
                kept = earlier.kept
                removed = {*earlier.removed, *(kept[position] for position in cut.removed)}
                cut = Cut(cut.tensor, cut.axis, earlier.size, tuple(sorted(removed)))  # noqa: PLW2901
            cuts[cut.tensor, cut.axis] = cut
        attributes = {(change.module, change.attribute): change for change in self.attributes}
        for change in later.attributes:
            first = attributes.get((change.module, change.attribute))
            before = first.before if first else change.before
            attributes[change.module, change.attribute] = AttributeChange(
                change.module, change.attribute, before, change.after
            )
        scalings = [*self.scalings, *(self._before(scaling) for scaling in later.scalings)]
        return Plan(tuple(cuts.values()), tuple(attributes.values()), later.groups, tuple(scalings))

    def _before(self, scaling: Scaling) -> Scaling:
        """A scaling of what this plan leaves, in the coordinates of what it began with."""
        kept = [cut.kept for cut in self.cuts if (cut.tensor, cut.axis) == (scaling.tensor, scaling.axis)]
        rows = tuple(kept[0][row] for row in scaling.rows) if kept else scaling.rows
        return replace(scaling, rows=rows)


def _plain(value: int | tuple[int, ...]) -> int | list[int]:
    return list(value) if isinstance(value, tuple) else value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _factor(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{value!r} is not a positive number")
    return float(value)


def _count(value: object) -> int | tuple[int, ...]:
    return tuple(_whole(item) for item in value) if isinstance(value, list) else _whole(value)


def _indices(values: Iterable[object]) -> tuple[int, ...]:
    indices = tuple(_whole(value) for value in values)
    if list(indices) != sorted(set(indices)):
        raise ValueError("indices are not increasing")
    return indices


def _check_range(name: str, size: int, removed: tuple[int, ...]) -> None:
    if removed and removed[-1] >= size:
        raise InputRefused(f"a broken plan: {name!r} has {size} positions, not {removed[-1] + 1}")


def _check_fall(change: AttributeChange) -> None:
    if not falls(change.before, change.after):
        raise InputRefused(
            f"a broken plan: {change.module}.{change.attribute} goes from {change.before} to {change.after}"
        )


def falls(before: int | tuple[int, ...], after: int | tuple[int, ...]) -> bool:
    """Whether no number of an attribute rises and none is added: it counts channels, and channels leave."""
    if not isinstance(before, tuple) or not isinstance(after, tuple):
        return isinstance(before, int) and isinstance(after, int) and after <= before
    return len(before) == len(after) and all(new <= old for old, new in zip(before, after, strict=True))
