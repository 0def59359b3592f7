"""How an evaluation is read: accuracy, loss, and how many images they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, number

_KEYS = ("accuracy", "top5", "loss", "images", "images_per_second")


def page(document: Mapping[str, Any]) -> Page:
    """The figures, one a line."""
    top5 = document.get("top5")
    return (
        facts(
            [
                ("accuracy", figures.percentage(document["accuracy"])),
                ("top-5 accuracy", None if top5 is None else figures.percentage(top5)),
                ("loss", figures.decimal(document["loss"])),
                ("images", figures.count(document["images"])),
                ("images per second", figures.rate(document.get("images_per_second"))),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row with the figures in full precision."""
    return Table(
        columns=tuple(number(key) for key in _KEYS), rows=(tuple(document.get(key) for key in _KEYS),)
    )
