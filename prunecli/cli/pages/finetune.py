"""How a fine-tuning is read: before and after, the epochs with the best one marked, the file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_STAGES = (("before", "before"), ("recalibrated", "recalibrated"), ("after", "after"))
_FLAT = ("epoch", "lr", "train_loss", "loss", "accuracy", "seconds", "images_per_second")


def page(document: Mapping[str, Any]) -> Page:
    """Accuracy and loss before, after recalibration where there was one, and after; epochs; the file."""
    best = document.get("best") or {}
    written = document.get("output") or {}
    return (
        _before_after(document),
        _history(document),
        facts(
            [
                ("best epoch", figures.text(best.get("epoch"))),
                ("best accuracy", figures.percentage(best.get("accuracy"))),
                ("stopped early", "yes" if document.get("stopped_early") else None),
                ("written", written.get("path")),
                ("sha256", written.get("sha256")),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row an epoch, in full precision."""
    rows = tuple(tuple(epoch.get(key) for key in _FLAT) for epoch in document.get("history") or ())
    return Table(columns=tuple(number(key) for key in _FLAT), rows=rows)


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: measure what was written."""
    path = (document.get("output") or {}).get("path")
    if not path:
        return "the same with -o tuned.safetensors keeps the trained network"
    data = document.get("data")
    measured = f" --data {shlex.quote(data)}" if isinstance(data, str) else ""
    return f"prunecli evaluate {shlex.quote(path)}{measured}"


def _before_after(document: Mapping[str, Any]) -> Table:
    found = [(title, document[key]) for key, title in _STAGES if document.get(key)]
    rows = (
        ("accuracy", *(figures.percentage(each.get("accuracy")) for _, each in found)),
        ("loss", *(figures.decimal(each.get("loss")) for _, each in found)),
    )
    columns = (name("figure"), *(number(title) for title, _ in found))
    return Table(columns=columns, rows=rows, title="Before and after")


def _history(document: Mapping[str, Any]) -> Table:
    """Of several epochs the kept one is marked; of one there is nothing to choose."""
    history = document.get("history") or ()
    best = (document.get("best") or {}).get("epoch")
    keys = ("epoch", "lr", "train_loss", "loss", "accuracy", "images_per_second")
    marked = len(history) > 1
    rows = tuple(
        (*(epoch.get(key) for key in keys), *(["best" if epoch.get("epoch") == best else ""] * marked))
        for epoch in history
    )
    columns = (
        number("epoch"),
        number("lr", figures.scientific),
        number("training loss", figures.decimal),
        number("loss", figures.decimal),
        number("accuracy", figures.percentage),
        number("images/s", figures.rate),
        *([name("kept")] * marked),
    )
    return Table(columns=columns, rows=rows, title="Epochs")
