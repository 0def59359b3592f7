"""How a pruning is read: what it was before, what it is after, which layers lost what, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from prunecli.allocation.targets import WORDS
from prunecli.cli import figures
from prunecli.cli.suggesting import command, own_model
from prunecli.cli.tables import Column, Page, Table, bar, facts, name, number

_COSTS = (("parameters", "params"), ("MACs", "macs"), ("bytes of weights", "bytes"))


def page(document: Mapping[str, Any]) -> Page:
    """What was asked, before and after, layers, protected layers, verification and the file."""
    return (
        _asked(document),
        _bites(document),
        _before_after(document),
        _against(document),
        _layers(document),
        _rules(document),
        _protected(document),
        _proof(document),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a layer, with the removed indices."""
    rows = tuple(
        (layer["name"], layer["type"], layer["before"], layer["after"], layer["removed"])
        for layer in document["layers"]
    )
    columns = (name("layer"), name("type"), number("before"), number("after"), name("removed"))
    return Table(columns=columns, rows=rows)


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: recover accuracy, or write what was only planned."""
    path = (document.get("output") or {}).get("path")
    if not path:
        return "the same with -o small.safetensors keeps the smaller network"
    pure = PurePath(path)
    tuned = pure.with_name(f"{pure.stem}-tuned{pure.suffix}")
    own = own_model((document.get("checkpoint") or {}).get("architecture"))
    data = document.get("data") or "DATA"
    return command("finetune", path, *own, "--data", data, "--epochs", "10", "-o", str(tuned))


def _asked(document: Mapping[str, Any]) -> Table:
    ratio = document.get("ratio")
    return facts(
        [
            ("strategy", document["strategy"]),
            ("criterion", document["criterion"]),
            ("scope", document["scope"]),
            ("ratio", None if ratio is None else figures.text(ratio)),
            ("target", _target(document)),
            ("seed", figures.text(document.get("seed"))),
            ("trainings", _trainings(document)),
            ("tuned", _tuned(document)),
        ]
    )


def _target(document: Mapping[str, Any]) -> str | None:
    """What was to remain, and what does."""
    found = document.get("target")
    if not found:
        return None
    said = f"{figures.share(found['share'])} of the {WORDS[found['kind']]}"
    return f"{found['asked']}, and {said} stay{'' if found['met'] or found.get('tried') else ': not met'}"


def _trainings(document: Mapping[str, Any]) -> str | None:
    """How often a trigger fired; nothing where every bite was trained after, or none."""
    found = document.get("trainings")
    return (
        None if not found or found["fired"] in {0, found["bites"]} else _fired(found["fired"], found["bites"])
    )


def _tuned(document: Mapping[str, Any]) -> str | None:
    chosen = (document.get("tuning") or {}).get("chosen") or {}
    return ", ".join(f"{name} {figures.text(value)}" for name, value in chosen.items()) or None


def _bites(document: Mapping[str, Any]) -> Table:
    """How much is gone after each bite, and how long it may be trained for."""
    rows = tuple(
        (place, bite["ratio"], bite["epochs"]) for place, bite in enumerate(document.get("bites") or (), 1)
    )
    columns = (number("bite"), number("removed", figures.share), number("epochs at most"))
    return Table(columns=columns, rows=rows, title="Bites")


def _against(document: Mapping[str, Any]) -> Table:
    """The strategy and the one that it was compared with, side by side."""
    other = document.get("against") or {}
    columns = (
        name("strategy"),
        number("accuracy", figures.percentage),
        number("seconds", figures.decimal),
        name("trainings"),
        number("measured speed-up", figures.times),
    )
    title = "Against"
    if not other:
        return Table(columns=columns, rows=(), title=title)
    own = document.get("trainings") or {"fired": int(bool(document["history"])), "bites": 0}
    seconds = sum(document["seconds"].values())
    mine = (
        document["strategy"],
        document["accuracy"],
        seconds,
        own["fired"],
        own["bites"],
        other["speed_up"],
    )
    theirs = (
        other["strategy"],
        other["accuracy"],
        other["seconds"],
        other["trainings"],
        other["bites"],
        None,
    )
    rows = tuple(
        (who, (accuracy or {}).get("after"), spent, _fired(fired, bites), speed_up)
        for who, accuracy, spent, fired, bites, speed_up in (mine, theirs)
    )
    return Table(columns=columns, rows=rows, title=title)


def _fired(trainings: int, bites: int) -> str:
    return f"{trainings} after {bites} bites" if bites else str(trainings)


def _before_after(document: Mapping[str, Any]) -> Table:
    before, after = document["before"], document["after"]
    rows = [
        _cost_row(word, before.get(key), after.get(key), (document.get("reduction") or {}).get(key))
        for word, key in _COSTS
    ]
    first, second = before.get("macs"), after.get("macs")
    speed_up = first / second if first and second else None
    rows.append(("theoretical speed-up (MACs)", "", figures.times(speed_up), ""))
    accuracy = document.get("accuracy") or {}
    if accuracy.get("before") is not None or accuracy.get("after") is not None:
        if accuracy.get("cut") is not None and accuracy["cut"] != accuracy.get("after"):
            rows.append(("accuracy right after the cut", "", figures.percentage(accuracy["cut"]), ""))
        rows.append(_accuracy_row(accuracy))
    thop_before, thop_after = before.get("thop") or {}, after.get("thop") or {}
    if thop_before and thop_after:
        rows.append(_cost_row("MACs by thop", thop_before.get("macs"), thop_after.get("macs"), None))
        rows.append(
            _cost_row("parameters by thop", thop_before.get("params"), thop_after.get("params"), None)
        )
    columns = (name("figure"), _written("before"), _written("after"), _written("reduction"))
    return Table(columns=columns, rows=tuple(rows), title="Before and after")


def _cost_row(word: str, before: Any, after: Any, reduction: Any) -> tuple[str, str, str, str]:
    if reduction is None and before and after is not None:
        reduction = 1 - after / before
    return (word, figures.count(before), figures.count(after), figures.share(reduction))


def _accuracy_row(accuracy: Mapping[str, Any]) -> tuple[str, str, str, str]:
    before, after = accuracy.get("before"), accuracy.get("after")
    drop = figures.UNKNOWN if before is None or after is None else f"{after - before:+.2f} points"
    return ("accuracy", figures.percentage(before), figures.percentage(after), drop)


def _layers(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (layer["name"], layer["type"], layer["before"], layer["after"], removed, _kept(removed))
        for layer in document["layers"]
        for removed in (_removed_share(layer),)
    )
    columns = (
        name("layer"),
        name("type"),
        number("before", figures.count),
        number("after", figures.count),
        number("removed", figures.share),
        bar("kept"),
    )
    return Table(columns=columns, rows=rows, title="Channels")


def _removed_share(layer: Mapping[str, Any]) -> float | None:
    return 1 - layer["after"] / layer["before"] if layer["before"] else None


def _kept(removed: float | None) -> float | None:
    return None if removed is None else 1 - removed


def _rules(document: Mapping[str, Any]) -> Table:
    """Which bound changed the number that leaves a group."""
    rows = tuple((entry["group"], entry["rule"]) for entry in document.get("rules") or ())
    return Table(columns=(name("group"), name("rule")), rows=rows, title="Bounds that changed a number")


def _protected(document: Mapping[str, Any]) -> Table:
    rows = tuple((entry["name"], entry["reason"]) for entry in document.get("protected") or ())
    return Table(columns=(name("layer"), name("reason")), rows=rows, title="Protected")


def _proof(document: Mapping[str, Any]) -> Table:
    proof = document.get("verification") or {}
    written = document.get("output") or {}
    seconds = document.get("seconds") or {}
    return facts(
        [
            ("equivalent", figures.text(proof.get("equivalent")) if proof else None),
            ("method", proof.get("method")),
            ("largest error", _error(proof) if proof else None),
            ("seconds", _seconds(seconds) if seconds else None),
            ("written", written.get("path")),
            ("sha256", written.get("sha256")),
        ],
        title="Verification",
    )


def _error(proof: Mapping[str, Any]) -> str:
    show: Callable[[Any], str] = figures.scientific
    return (
        f"{show(proof.get('max_abs_error'))} absolute, {show(proof.get('max_rel_error'))} relative, "
        f"tolerance {show(proof.get('tolerance'))}"
    )


def _seconds(seconds: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items() if value is not None)


def _written(title: str) -> Column:
    """A column of numbers that are written already."""
    return number(title, str)
