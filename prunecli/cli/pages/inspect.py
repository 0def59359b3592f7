"""How an inspected checkpoint is read: facts, layers, groups, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.suggesting import command, own_model
from prunecli.cli.tables import Page, Table, facts, name, number
from prunecli.reports.graphs.wording import coupling, reasons

_NAMED = 3
"""So many groups and layers are named where many have something in common."""


def page(document: Mapping[str, Any]) -> Page:
    """Facts of the file and the model, what can go and what cannot, layers, thop's figures, and problems."""
    return (
        _facts(document),
        _layers(document),
        _groups(document),
        _kept(document),
        _differences(document),
        _problems(document),
    )


def following(document: Mapping[str, Any]) -> str | None:
    """To see what a pruning would come to."""
    if not any(group["prunable"] for group in document["groups"]):
        return None
    own = own_model(document["architecture"]["name"], document["input_shape"] or ())
    return command("prune", document.get("path"), *own, "--ratio", "0.5", "--dry-run")


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
            ("prunable channels", _prunable(document)),
            ("slow widths", _slow(document)),
            ("channel graph", (document.get("output") or {}).get("path")),
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


def _prunable(document: Mapping[str, Any]) -> str:
    groups = document["groups"]
    free = [group["channels"] for group in groups if group["prunable"]]
    return f"{figures.count(sum(free))} in {len(free)} of {len(groups)} groups"


def _slow(document: Mapping[str, Any]) -> str | None:
    """Which layers have a width that machines do not like, as far as another could be chosen."""
    widths = document.get("widths")
    if not widths:
        return None
    whose = "what this machine likes" if widths["measured"] else "what most machines like"
    named = _named(widths["slow"]) if widths["slow"] else "none"
    return f"{named} (against multiples of {widths['multiple']}, {whose})"


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _groups(document: Mapping[str, Any]) -> Table:
    """What may leave; a group of one layer alone has nothing that couples it."""
    rows = tuple(
        (group["name"], group["channels"], len(group["members"]), coupling(group) or None)
        for group in document["groups"]
        if group["prunable"]
    )
    columns = (name("group"), number("channels", figures.count), number("members"), name("coupled by"))
    return Table(columns=columns, rows=rows, title="Channels that may leave, group by group")


def _kept(document: Mapping[str, Any]) -> Table:
    """What stays, reason by reason."""
    rows = tuple(
        (
            reason,
            len(groups),
            sum(group["channels"] for group in groups),
            _named([group["name"] for group in groups]),
        )
        for reason, groups in reasons(document["groups"]).items()
    )
    columns = (name("reason"), number("groups"), number("channels", figures.count), name("which"))
    return Table(columns=columns, rows=rows, title="Channels that stay, and why")


def _differences(document: Mapping[str, Any]) -> Table:
    rows = tuple((sentence,) for sentence in document.get("differences") or ())
    return Table(columns=(name("reason"),), rows=rows, title="Why thop counts otherwise", header=False)


def _problems(document: Mapping[str, Any]) -> Table:
    rows = tuple((problem,) for problem in document.get("problems") or ())
    return Table(columns=(name("problem"),), rows=rows, title="Problems", header=False)
