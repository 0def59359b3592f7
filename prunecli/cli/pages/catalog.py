"""How the catalog is read: one table a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prunecli.cli.tables import Page, Table, name

_HEAD = ("schema", "version")


def page(document: Mapping[str, Any]) -> Page:
    """A table for each kind: name, one line, source; for strategies one of their parts."""
    tables = tuple(
        Table(
            columns=(name("name"), name("caption"), name("source")),
            rows=tuple((entry["name"], entry["caption"], entry["source"]) for entry in entries),
            title=kind.capitalize(),
        )
        for kind, entries in _kinds(document)
    )
    return (*tables, *_parts(document.get("strategies") or ()))


def _parts(entries: Sequence[Mapping[str, Any]]) -> Page:
    """What strategies are made of; each part has an option."""
    made = [(entry["name"], entry["parts"]) for entry in entries if entry.get("parts")]
    if not made:
        return ()
    words = ("schedule", "hardness", "trigger", "recovery")
    rows = tuple((called, *(parts[word] for word in words)) for called, parts in made)
    columns = (name("strategy"), *(name(word) for word in words))
    return (Table(columns=columns, rows=rows, title="Parts of strategies"),)


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
