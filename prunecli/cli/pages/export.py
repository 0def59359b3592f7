"""How an export is read: the file, and what the other runtime computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.cli import figures
from prunecli.cli.suggesting import command
from prunecli.cli.tables import Page, Table, facts, name, number


def page(document: Mapping[str, Any]) -> Page:
    """The file written and its check, one fact a line."""
    written, proof = document.get("output") or {}, document.get("verification") or {}
    return (
        facts(
            [
                ("format", document["format"]),
                ("written", written.get("path")),
                *(("and", each["path"]) for each in _beside(written)),
                ("bytes", figures.count(written.get("bytes"))),
                ("sha256", figures.text(written.get("sha256"))),
                ("checked with", figures.text(proof.get("runtime"))),
                ("inputs compared", _inputs(proof)),
                ("largest absolute error", figures.scientific(proof.get("max_abs_error"))),
                ("accepted up to", figures.scientific(proof.get("tolerance"))),
                ("top-1 agreement", figures.share(proof.get("top1_agreement"))),
                ("equivalent", figures.text(proof.get("equivalent"))),
            ]
        ),
    )


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: how fast the file is, where `bench` runs such files."""
    path = (document.get("output") or {}).get("path")
    return command("bench", path) if str(path).endswith(".onnx") else None


def _beside(written: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The files beside the main one."""
    return [each for each in written.get("files") or () if each["path"] != written.get("path")]


def _inputs(proof: Mapping[str, Any]) -> str:
    if not proof.get("inputs"):
        return figures.text(None)
    return f"{figures.count(proof.get('inputs'))}, {figures.count(proof.get('real_inputs'))} of them real"


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
        name("dtype"),
        number("top1_agreement"),
    )
    row = (
        document["format"],
        written.get("path"),
        written.get("bytes"),
        written.get("sha256"),
        proof.get("runtime"),
        proof.get("max_abs_error"),
        proof.get("equivalent"),
        document.get("dtype"),
        proof.get("top1_agreement"),
    )
    return Table(columns=columns, rows=(row,))
