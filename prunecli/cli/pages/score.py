"""How scores are read: a summary of each layer under each criterion; all numbers stand in CSV and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.cli import figures
from prunecli.cli.suggesting import command
from prunecli.cli.tables import Page, Table, facts, name, number


def page(document: Mapping[str, Any]) -> Page:
    """The model, then least, mean, greatest and variation of each layer's and group's scores."""
    checkpoint = document.get("checkpoint") or {}
    architecture = checkpoint.get("architecture")
    if isinstance(architecture, Mapping):
        architecture = architecture.get("name")
    head = facts(
        [
            ("checkpoint", figures.text(checkpoint.get("path"))),
            ("architecture", figures.text(architecture)),
            ("scope", figures.text(document.get("scope"))),
        ]
    )
    return (
        head,
        _summary(document["layers"], "filters", "layer", "Scores of filters (higher = keep)"),
        _summary(
            document.get("groups") or [], "channels", "group", "Scores of channel groups (higher = keep)"
        ),
    )


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: whether the criteria agree, or what one of them would remove."""
    path, criteria = (document.get("checkpoint") or {}).get("path"), document["criteria"]
    if len(criteria) > 1:
        return command("compare", path, "--criteria", ",".join(criteria), "--ratio", "0.3,0.5")
    return command("prune", path, "--criterion", criteria[0], "--ratio", "0.5", "--dry-run")


def flat(document: Mapping[str, Any]) -> Table:
    """One row a filter, one column a criterion, in full precision."""
    criteria = tuple(document["criteria"])
    rows = []
    for layer in document["layers"]:
        for index in range(layer["filters"]):
            scores = tuple(_at(layer["scores"].get(criterion), index) for criterion in criteria)
            rows.append((layer["name"], layer["type"], index, *scores))
    columns = (name("layer"), name("type"), number("filter"), *(number(criterion) for criterion in criteria))
    return Table(columns=columns, rows=tuple(rows))


def _summary(places: Sequence[Mapping[str, Any]], size: str, word: str, title: str) -> Table:
    rows = tuple(
        (place["name"], place[size], criterion, *summary(values))
        for place in places
        for criterion, values in place["scores"].items()
    )
    columns = (
        name(word),
        number(size),
        name("criterion"),
        number("min"),
        number("mean"),
        number("max"),
        number("CV", figures.decimal),
    )
    return Table(columns=columns, rows=rows, title=title)


def summary(values: Sequence[float | None] | None) -> tuple[float | None, ...]:
    """Least, mean, greatest, and coefficient of variation: standard deviation ÷ |mean|."""
    known = [value for value in values or () if value is not None and math.isfinite(value)]
    if not known:
        return (None, None, None, None)
    mean = math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known))
    return (min(known), mean, max(known), deviation / abs(mean) if mean else None)


def _at(values: Sequence[float] | None, index: int) -> float | None:
    return values[index] if values is not None and index < len(values) else None
