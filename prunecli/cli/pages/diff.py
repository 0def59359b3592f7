"""How a difference is read: the two files and their costs, then the layers that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_SHOWN_BY_WIDTHS = frozenset(
    ("in_channels", "out_channels", "in_features", "out_features", "num_features", "num_channels")
)
_COSTS = (("parameters", "params"), ("MACs", "macs"), ("bytes of weights", "bytes"))


def page(document: Mapping[str, Any]) -> Page:
    """The files, the layers that differ, and attributes of modules."""
    same = [layer for layer in document["layers"] if layer["status"] == "same"]
    return (
        _files(document),
        _layers(document),
        _attributes(document),
        facts(
            [
                ("layers alike in every bit", f"{len(same)} of {len(document['layers'])}"),
                ("identical", figures.text(document["identical"])),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a tensor."""
    keys = ("first", "second", "status", "changed", "max_abs_change")
    rows = tuple(
        (tensor["name"], layer["type"], *(tensor[key] for key in keys))
        for layer in document["layers"]
        for tensor in layer["tensors"]
    )
    columns = (
        *(name("tensor"), name("type"), name("a"), name("b"), name("status")),
        *(number("changed"), number("max_abs_change")),
    )
    return Table(columns=columns, rows=rows)


def _files(document: Mapping[str, Any]) -> Table:
    sides = [document["a"], document["b"]]
    rows = [
        ("file", *(figures.text(side["path"]) for side in sides), ""),
        ("architecture", *(figures.text(side["architecture"]) for side in sides), ""),
        ("dtype", *(side["dtype"] for side in sides), ""),
        ("history", *(" → ".join(side["history"]) or figures.UNKNOWN for side in sides), ""),
    ]
    for word, key in _COSTS:
        first, second = (side[key] for side in sides)
        change = figures.share(second / first - 1) if first else figures.UNKNOWN
        rows.append((word, figures.count(first), figures.count(second), change))
    columns = (name("figure"), name("a"), name("b"), number("change", str))
    return Table(columns=columns, rows=tuple(rows), title="Two checkpoints")


def _layers(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            layer["name"],
            layer["type"],
            layer["channels"]["a"],
            layer["channels"]["b"],
            layer["status"],
            layer["changed"],
            layer["max_abs_change"],
        )
        for layer in document["layers"]
        if layer["status"] != "same"
    )
    columns = (
        *(name("layer"), name("type"), number("a", figures.count), number("b", figures.count), name("what")),
        *(number("changed", figures.share), number("largest change", figures.scientific)),
    )
    return Table(columns=columns, rows=rows, title="Layers that differ")


def _attributes(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (change["module"], change["attribute"], figures.text(change["a"]), figures.text(change["b"]))
        for change in document["attributes"]
        if change["attribute"] not in _SHOWN_BY_WIDTHS
    )
    columns = (name("module"), name("attribute"), name("a"), name("b"))
    return Table(columns=columns, rows=rows, title="Other attributes that differ")
