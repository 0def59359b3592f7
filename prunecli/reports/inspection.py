"""The sections on a checkpoint that was looked at: what it is, what it costs, which widths are slow."""

from __future__ import annotations

from collections.abc import Sequence

from prunecli.reports.cells import Cell
from prunecli.reports.sections import Block, Column, Facts, Given, Part, Remarks, Table, numeric
from prunecli.reports.subject import listed

_FACTS = {
    "path": "file",
    "kind": "kind",
    "bytes": "bytes",
    "sha256": "sha256",
    "input_shape": "input shape",
    "dtype": "type of the weights",
}
_COSTS = {"params": "parameters", "macs": "MACs"}


def what(given: Given) -> Sequence[Block]:
    """The file and the architecture that was recognised in it."""
    document = given.document
    architecture = document.get("architecture") or {}
    rows: list[tuple[str, Cell]] = [
        (word, "x".join(map(str, document[key])) if key == "input_shape" else document[key])
        for key, word in _FACTS.items()
        if document.get(key) is not None
    ]
    rows += [
        ("architecture", architecture.get("name")),
        ("arguments", listed(architecture.get("arguments") or {})),
    ]
    return (Facts(rows),)


def costs(given: Given) -> Sequence[Block]:
    """Parameters and MACs, what thop says of them, and why that is another number."""
    document = given.document
    thop = document.get("thop") or {}
    rows: list[list[Cell]] = [[word, document.get(key), thop.get(key)] for key, word in _COSTS.items()]
    table = Table("Costs", [Column("figure"), numeric("counted"), numeric("thop says")], rows)
    reasons = document.get("differences") or ()
    return (table, *([Remarks(reasons)] if reasons else []))


def widths(given: Given) -> Sequence[Block]:
    """The layers whose width is no multiple of what machines like, as far as another could be chosen."""
    found = given.document["widths"]
    whose = "this machine likes" if found["measured"] else "most machines like"
    slow = found["slow"]
    have = "1 layer has" if len(slow) == 1 else f"{len(slow)} layers have"
    others = f"{have} another width: {', '.join(slow)}." if slow else "All have such widths."
    return (Remarks([f"Multiples of {found['multiple']} channels are what {whose}. {others}"]),)


def problems(given: Given) -> Sequence[Block]:
    """What could not be followed or counted."""
    lines = given.document["problems"]
    return (Remarks(lines),) if lines else ()


WHAT = Part("asked", "What it is", what)
COSTS = Part("costs", "What it costs", costs, key="macs")
WIDTHS = Part("widths", "Widths", widths, key="widths")
PROBLEMS = Part("problems", "Problems", problems, key="problems")
