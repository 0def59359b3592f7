"""How a fine-tuning is read: before and after, the best epoch, the history."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number


def page(document: Mapping[str, Any]) -> Page:
    """Accuracy and loss before and after, the epochs, the file written."""
    before, after = document.get("before") or {}, document.get("after") or {}
    rows = (
        ("accuracy", figures.percentage(before.get("accuracy")), figures.percentage(after.get("accuracy"))),
        ("loss", figures.decimal(before.get("loss")), figures.decimal(after.get("loss"))),
    )
    best = document.get("best") or {}
    written = document.get("output") or {}
    return (
        Table(
            columns=(name("figure"), number("before"), number("after")), rows=rows, title="Before and after"
        ),
        _history(document),
        facts(
            [
                ("best epoch", figures.text(best.get("epoch"))),
                ("best accuracy", figures.percentage(best.get("accuracy"))),
                ("written", written.get("path")),
                ("sha256", written.get("sha256")),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row an epoch, in full precision."""
    keys = ("epoch", "lr", "train_loss", "loss", "accuracy", "seconds", "images_per_second")
    rows = tuple(tuple(epoch.get(key) for key in keys) for epoch in document.get("history") or ())
    return Table(columns=tuple(number(key) for key in keys), rows=rows)


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: measure what was written."""
    path = (document.get("output") or {}).get("path")
    if not path:
        return "the same with -o tuned.safetensors keeps the trained network"
    return f"prunecli evaluate {shlex.quote(path)}"


def _history(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        tuple(
            epoch.get(key) for key in ("epoch", "lr", "train_loss", "loss", "accuracy", "images_per_second")
        )
        for epoch in document.get("history") or ()
    )
    columns = (
        number("epoch"),
        number("lr", figures.scientific),
        number("training loss", figures.decimal),
        number("loss", figures.decimal),
        number("accuracy", figures.percentage),
        number("images/s", figures.rate),
    )
    return Table(columns=columns, rows=rows, title="Epochs")
