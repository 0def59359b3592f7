"""How the catalog is read: one table a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunecli.cli.tables import Page, Table, name

_HEAD = ("schema", "version")


def page(document: Mapping[str, Any]) -> Page:
    """A table for each kind: name, one line, source."""
    return tuple(
        Table(
            columns=(name("name"), name("caption"), name("source")),
            rows=tuple((entry["name"], entry["caption"], entry["source"]) for entry in entries),
            title=kind.capitalize(),
        )
        for kind, entries in _kinds(document)
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row a name, with its kind."""
    rows = tuple(
        (kind, entry["name"], entry["caption"], entry["source"])
        for kind, entries in _kinds(document)
        for entry in entries
    )
    return Table(columns=(name("kind"), name("name"), name("caption"), name("source")), rows=rows)


def _kinds(document: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    return ((kind, entries) for kind, entries in document.items() if kind not in _HEAD)
