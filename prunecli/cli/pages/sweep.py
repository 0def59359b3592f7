"""How a sweep is read: the front first, then what became of the trials, and how each is made again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_NAMES = ("criterion", "strategy", "scope")
_CHOICES = ("criterion", "strategy", "ratio", "scope", "target")
_LAYERS = {
    "comparison": "stopped: behind others that cost no more",
    "semantic": "stopped: of no use",
    "threshold": "stopped: out of reach of --max-drop",
}
MOST_COMMANDS = 10
"""Of a longer front the commands are in the JSON."""


def page(document: Mapping[str, Any]) -> Page:
    """The front, the trials counted, the chosen network, and the commands of the front."""
    return (_front(document), _counted(document), _best(document), _chosen(document), _commands(document))


def flat(document: Mapping[str, Any]) -> Table:
    """One row a trial."""
    front = set(document["front"])
    rows = tuple(
        (
            each["number"],
            each["state"],
            *(each["values"].get(choice) for choice in _CHOICES),
            each["accuracy"]["validation"],
            each["accuracy"]["spread"],
            each["macs"],
            each["params"],
            each["seeds"],
            each["epochs"],
            each["seconds"],
            each["number"] in front,
            (each["stopped"] or {}).get("layer"),
            (each["stopped"] or {}).get("reason") or each["failed"],
            (each["stopped"] or {}).get("seconds_saved"),
        )
        for each in document["trials"]
    )
    columns = (
        number("trial"),
        name("state"),
        *(name(choice) for choice in _CHOICES),
        *(number(title) for title in ("accuracy", "spread", "macs", "params", "seeds", "epochs", "seconds")),
        name("front"),
        name("stopped"),
        name("reason"),
        number("seconds_saved"),
    )
    return Table(columns=columns, rows=rows)


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: keep the best network, or go on with what was written."""
    ended = sum(each["state"] in {"complete", "stopped", "failed"} for each in document["trials"])
    if ended < document["limit"]:
        return "the same command goes on, here or on another machine that sees the storage"
    path = (document.get("output") or {}).get("path")
    if path:
        data = document.get("data")
        measured = f" --data {shlex.quote(data)}" if isinstance(data, str) else ""
        return f"prunecli evaluate {shlex.quote(path)}{measured}"
    if document.get("best") is None:
        return None
    return f"the same with -o best.safetensors keeps the network of trial {document['best']}"


def _front(document: Mapping[str, Any]) -> Table:
    """The names that differ between trials stand in one column, which may be folded on a narrow screen."""
    dense, best, choices = document["dense"], document.get("best"), _varying(document)
    amount = "target" if document["space"].get("targets") else "ratio"
    rows = tuple(
        (
            each["number"],
            *([" ".join(str(each["values"].get(choice)) for choice in choices)] if choices else []),
            each["values"].get(amount),
            each["accuracy"]["validation"],
            each["accuracy"]["spread"],
            each["accuracy"]["validation"] - dense["accuracy"],
            each["macs"],
            each["macs"] / dense["macs"],
            "best" if each["number"] == best else "",
        )
        for each in _members(document)
    )
    columns = (
        number("trial"),
        *([name(" ".join(choices))] if choices else []),
        number(amount),
        number("accuracy", figures.percentage),
        number("spread", _points),
        number("change", _signed),
        number("MACs", figures.count),
        number("left", figures.share),
        name(""),
    )
    return Table(columns=columns, rows=rows, title="Front: accuracy on the validation part against MACs")


def _varying(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that are not the same in all trials."""
    values = [each["values"] for each in document["trials"]]
    return tuple(choice for choice in _NAMES if len({each.get(choice) for each in values}) > 1)


def _same(document: Mapping[str, Any]) -> str | None:
    """The names that are the same in all trials."""
    varying, trials = _varying(document), document["trials"]
    return (
        ", ".join(str(trials[0]["values"].get(each)) for each in _NAMES if each not in varying)
        if trials
        else None
    )


def _counted(document: Mapping[str, Any]) -> Table:
    """How many trials ended how, and what stopping early saved."""
    trials, saved = document["trials"], document["saved"]

    def count(state: str) -> int:
        return sum(each["state"] == state for each in trials)

    layers = [(_LAYERS.get(key, key), str(many)) for key, many in saved["layers"].items() if many]
    waiting = document["limit"] - sum(count(state) for state in ("complete", "stopped", "failed"))
    whole, spared = document["seconds"] + saved["seconds"], saved["seconds"]
    told = f"{spared:.1f} s of {whole:.1f} s ({figures.share(spared / whole)})" if whole else None
    return facts(
        [
            ("trials to the end", str(count("complete"))),
            *layers,
            *([("broke down", str(count("failed")))] if count("failed") else []),
            *([("not done yet", str(waiting))] if waiting > 0 else []),
            ("time saved by stopping", told if spared else None),
        ],
        title="Trials",
    )


def _best(document: Mapping[str, Any]) -> Table:
    dense, study = document["dense"], document["study"]
    before = f"{figures.percentage(dense['accuracy'])} with {figures.count(dense['macs'])} MACs"
    return facts(
        [
            ("before pruning", before),
            ("best", None if document.get("best") is None else f"trial {document['best']}"),
            ("in every trial", _same(document) or None),
            ("epochs of a run", _epochs(document)),
            ("study", f"{study['name']} in {study['storage']}"),
        ]
    )


def _epochs(document: Mapping[str, Any]) -> str | None:
    """From the fewest to the most: some strategies take more than was asked for."""
    found = {each["epochs"] for each in document["trials"]} - {None}
    if not found:
        return None
    return str(min(found)) if len(found) == 1 else f"{min(found)} to {max(found)}"


def _chosen(document: Mapping[str, Any]) -> Table:
    chosen, written = document.get("chosen") or {}, document.get("output") or {}
    accuracy = chosen.get("accuracy") or {}
    measured = None
    if accuracy.get("test") is not None:
        measured = f"{figures.percentage(accuracy['test'])}, before {figures.percentage(accuracy['before'])}"
    return facts(
        [
            ("trial", figures.text(chosen["number"]) if chosen else None),
            ("accuracy on the test part", measured),
            ("written", written.get("path")),
            ("sha256", written.get("sha256")),
        ],
        title="Network",
    )


def _commands(document: Mapping[str, Any]) -> Table:
    """How the networks of the front are made again."""
    members = [each for each in _members(document) if each.get("command")][:MOST_COMMANDS]
    rows = tuple((each["number"], each["command"]) for each in members)
    return Table(columns=(number("trial"), name("command")), rows=rows, title="To make them again")


def _members(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    by_number = {each["number"]: each for each in document["trials"]}
    return [by_number[place] for place in document["front"]]


def _points(value: Any) -> str:
    return figures.UNKNOWN if value is None else f"{value:.2f}"


def _signed(value: Any) -> str:
    return f"{value:+.2f}"
