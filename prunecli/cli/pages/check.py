"""How a check is read: a row a gate and report, then how many are met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_RESULTS = {True: "met", False: "missed"}
_KEYS = ("gate", "asked", "found", "met", "unit", "file", "where")


def page(document: Mapping[str, Any]) -> Page:
    """Every gate with what was asked and found."""
    from prunecli.gates.reading import label

    gates, baseline = document["gates"], document["baseline"]
    met = sum(gate["met"] for gate in gates)
    columns = (name("gate"), number("asked"), number("found"), name("result"), name("report"))
    return (
        Table(columns=columns, rows=tuple(_row(gate) for gate in gates), title="Gates"),
        facts(
            [
                ("counted from", None if baseline is None else label(baseline["path"])),
                ("gates met", f"{met} of {len(gates)}"),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a gate and report with the amounts in full precision."""
    rows = tuple(tuple(gate[key] for key in _KEYS) for gate in document["gates"])
    return Table(columns=tuple(name(key) for key in _KEYS), rows=rows)


def _row(gate: Mapping[str, Any]) -> tuple[Any, ...]:
    from prunecli.gates.reading import label
    from prunecli.gates.wording import FLAG, UNITS

    unit, asked, found = UNITS[gate["unit"]], gate["asked"], gate["found"]
    shown = (
        (figures.text(asked), figures.text(found))
        if unit is FLAG
        else (unit.exactly(asked), unit.beside(found, asked))
    )
    report = label(gate["file"])
    return (
        gate["gate"],
        *shown,
        _RESULTS[gate["met"]],
        report if gate["where"] is None else f"{report}: {gate['where']}",
    )
