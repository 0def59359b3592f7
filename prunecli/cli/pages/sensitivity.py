"""How a sensitivity is read: accuracy and loss of every group, a column for each ratio."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_SHOWN = 5


def page(document: Mapping[str, Any]) -> Page:
    """The whole network, then accuracy and loss by group, the most sensitive group first."""
    origin, before = document["origin"], document["before"]
    return (
        facts(
            [
                ("criterion", origin["criterion"]),
                ("images", f"{figures.count(origin['images'])} of {origin['data']}"),
                ("accuracy", figures.percentage(before["accuracy"])),
                ("loss", figures.decimal(before["loss"])),
            ]
        ),
        _by_ratio(document, "accuracy", figures.percentage),
        _by_ratio(document, "loss", figures.decimal),
        _unknown(document),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a group and ratio."""
    keys = ("ratio", "removed", "macs", "loss", "accuracy")
    rows = tuple(
        (group["name"], group["channels"], *(point[key] for key in keys))
        for group in document["groups"]
        for point in group["points"]
    )
    return Table(columns=(name("group"), number("channels"), *(number(key) for key in keys)), rows=rows)


def following(document: Mapping[str, Any]) -> str | None:
    """To prune by what was found."""
    path = (document.get("output") or {}).get("path")
    if path is None:
        return None
    checkpoint = document["origin"]["path"]
    words = ["prunecli", "prune", *([checkpoint] if checkpoint else []), "--target", "macs=0.5"]
    return shlex.join([*words, "--scope", "global", "--sensitivity", path])


def _by_ratio(document: Mapping[str, Any], key: str, show: Callable[[Any], str]) -> Table:
    """At most five of the ratios: all stand in the JSON."""
    ratios = _chosen(document["origin"]["ratios"])
    rows = []
    for group in sorted(document["groups"], key=lambda each: -_damage(each)):
        at = {point["ratio"]: point[key] for point in group["points"]}
        if at:
            rows.append((group["name"], group["channels"], *(at.get(ratio) for ratio in ratios)))
    columns = (name("group"), number("channels"), *(number(f"-{100 * r:.3g} %", show) for r in ratios))
    return Table(columns=columns, rows=tuple(rows), title=f"{key.capitalize()} when the group alone is cut")


def _damage(group: Mapping[str, Any]) -> float:
    losses = [float(point["loss"]) for point in group["points"]]
    return sum(losses) / len(losses) if losses else 0.0


def _chosen(ratios: Sequence[float]) -> list[float]:
    if len(ratios) <= _SHOWN:
        return [*ratios]
    return [ratios[i * (len(ratios) - 1) // (_SHOWN - 1)] for i in range(_SHOWN)]


def _unknown(document: Mapping[str, Any]) -> Table:
    rows = tuple((group["name"], group["reason"]) for group in document["groups"] if group["reason"])
    return Table(columns=(name("group"), name("reason")), rows=rows, title="Not measured")
