"""How an export is read: the file, and what the other runtime computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number


def page(document: Mapping[str, Any]) -> Page:
    """The file written and its check, one fact a line."""
    written, proof = document.get("output") or {}, document.get("verification") or {}
    return (
        facts(
            [
                ("format", document["format"]),
                ("written", written.get("path")),
                ("bytes", figures.count(written.get("bytes"))),
                ("sha256", figures.text(written.get("sha256"))),
                ("checked with", figures.text(proof.get("runtime"))),
                ("largest absolute error", figures.scientific(proof.get("max_abs_error"))),
                ("equivalent", figures.text(proof.get("equivalent"))),
            ]
        ),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row with the file and its check."""
    written, proof = document.get("output") or {}, document.get("verification") or {}
    columns = (
        name("format"),
        name("path"),
        number("bytes"),
        name("sha256"),
        name("runtime"),
        number("max_abs_error"),
        name("equivalent"),
    )
    row = (
        document["format"],
        written.get("path"),
        written.get("bytes"),
        written.get("sha256"),
        proof.get("runtime"),
        proof.get("max_abs_error"),
        proof.get("equivalent"),
    )
    return Table(columns=columns, rows=(row,))
