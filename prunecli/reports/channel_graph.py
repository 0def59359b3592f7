"""The section on the channel graph: drawn, and each group as a box: who is in it, what couples it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from prunecli.reports.cells import Cell
from prunecli.reports.graphs.svg import as_svg
from prunecli.reports.graphs.wording import coupling, fate, members, reasons
from prunecli.reports.sections import Block, Column, Facts, Fold, Given, Part, Picture, Table, Words, numeric

OPEN_GROUPS = 20
"""So many groups stand in the section; more are folded once again."""
_NAMED = 3
"""So many groups that stay for one reason are named."""


def graph(given: Given) -> Sequence[Block]:
    """The picture, then the groups; nothing where the document has no channel graph."""
    document = given.document
    found = document.get("graph") or document
    groups = found.get("groups") or ()
    if not groups or not found.get("flow"):
        return ()
    after = {layer["name"]: layer["after"] for layer in document.get("layers") or () if "after" in layer}
    free = sum(bool(group["prunable"]) for group in groups)
    return (
        Words(
            "Channels of one lane leave together. A layer reads the lanes with a ring and makes the ones "
            "with a dot; where several layers make a lane, their filters are coupled."
        ),
        Picture(
            f"{len(found['flow'])} layers and the {len(groups)} channel groups that they read and make",
            partial(as_svg, found, after=after),
        ),
        Words(f"The channels of {free} of {len(groups)} groups may leave."),
        *_boxes([_group(group) for group in groups]),
    )


def staying(given: Given) -> Sequence[Block]:
    """Why groups stay, reason by reason."""
    rows: list[list[Cell]] = [
        [
            reason,
            len(groups),
            sum(group["channels"] for group in groups),
            ", ".join(group["name"] for group in groups[:_NAMED])
            + (f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""),
        ]
        for reason, groups in reasons(given.document["groups"]).items()
    ]
    columns = [Column("reason"), numeric("groups"), numeric("channels"), Column("which", typed=True)]
    return (Table("Channels that stay, and why", columns, rows),) if rows else ()


GRAPH = Part("graph", "Channel graph", graph)
STAYING = Part("protected", "What stays", staying, key="groups")


def _boxes(groups: Sequence[Fold]) -> Sequence[Fold]:
    """Few boxes as they are, many behind one."""
    return groups if len(groups) <= OPEN_GROUPS else [Fold("Every group", groups)]


def _group(group: Mapping[str, Any]) -> Fold:
    rows: list[tuple[str, Cell]] = [(word, ", ".join(names)) for word, names in members(group).items()]
    rows.append(("coupled by", coupling(group, shown=None) or "nothing else: one layer makes them"))
    if not group["prunable"]:
        rows[-1] = ("stays", group["reason"])
    return Fold(f"{group['name']}: {fate(group)}", [Facts(rows)])
