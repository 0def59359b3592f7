"""How an inspected checkpoint is read: facts, layers, groups, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number


def page(document: Mapping[str, Any]) -> Page:
    """Facts of the file and the model, then layers, groups, why thop counts otherwise, and problems."""
    return (
        _facts(document),
        _layers(document),
        _groups(document),
        _differences(document),
        _problems(document),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a layer, with the group that its outgoing channels belong to."""
    groups = {
        member["layer"]: group
        for group in document["groups"]
        for member in group["members"]
        if member.get("axis", 0) in (0, "out")
    }
    rows = []
    for layer in document["layers"]:
        group = groups.get(layer["name"], {})
        rows.append(
            (
                layer["name"],
                layer["type"],
                layer["channels"],
                group.get("name"),
                group.get("prunable"),
                group.get("reason"),
            )
        )
    columns = (
        name("layer"),
        name("type"),
        number("channels"),
        name("group"),
        name("prunable"),
        name("reason"),
    )
    return Table(columns=columns, rows=tuple(rows))


def _facts(document: Mapping[str, Any]) -> Table:
    architecture = document.get("architecture") or {}
    thop = document.get("thop") or {}
    prunable = sum(group["channels"] for group in document["groups"] if group["prunable"])
    return facts(
        [
            ("file", document.get("path")),
            ("kind", figures.text(document.get("kind"))),
            ("bytes", figures.count(document.get("bytes"))),
            ("sha256", figures.text(document.get("sha256"))),
            ("architecture", figures.text(architecture.get("name"))),
            ("recognised with", figures.share(architecture.get("confidence"))),
            ("arguments", figures.text(architecture.get("arguments"))),
            ("input shape", figures.shape(document.get("input_shape"))),
            ("dtype", figures.text(document.get("dtype"))),
            ("parameters", figures.count(document.get("params"))),
            ("MACs", figures.count(document.get("macs"))),
            ("thop says", _thop(thop)),
            ("prunable channels", figures.count(prunable)),
        ]
    )


def _thop(thop: Mapping[str, Any]) -> str | None:
    if not thop or thop.get("macs") is None:
        return None
    return f"{figures.count(thop.get('params'))} parameters, {figures.count(thop.get('macs'))} MACs"


def _layers(document: Mapping[str, Any]) -> Table:
    rows = tuple((layer["name"], layer["type"], layer["channels"]) for layer in document["layers"])
    return Table(
        columns=(name("layer"), name("type"), number("channels", figures.count)), rows=rows, title="Layers"
    )


def _groups(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (group["name"], group["channels"], len(group["members"]), group["prunable"], group.get("reason"))
        for group in document["groups"]
    )
    columns = (name("group"), number("channels"), number("members"), name("prunable"), name("reason"))
    return Table(columns=columns, rows=rows, title="Channel groups")


def _differences(document: Mapping[str, Any]) -> Table:
    rows = tuple((sentence,) for sentence in document.get("differences") or ())
    return Table(columns=(name("reason"),), rows=rows, title="Why thop counts otherwise", header=False)


def _problems(document: Mapping[str, Any]) -> Table:
    rows = tuple((problem,) for problem in document.get("problems") or ())
    return Table(columns=(name("problem"),), rows=rows, title="Problems", header=False)
