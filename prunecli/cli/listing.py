"""What `catalog` lists: every name that an option takes, with one line and its source; without torch."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunecli.cli.names import registry

KINDS = ("criteria", "strategies", "architectures", "exporters", "data")


@dataclass(frozen=True)
class Entry:
    """One name."""

    name: str
    caption: str
    source: str | None
    parts: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values; `parts` only where the entry is made of some."""
        found = {"name": self.name, "caption": self.caption, "source": self.source}
        return found if self.parts is None else {**found, "parts": dict(self.parts)}


@dataclass(frozen=True)
class Listing:
    """Entries by kind."""

    entries: dict[str, tuple[Entry, ...]]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """{kind: [{name, caption, source}]}, strategies with their parts."""
        return {kind: [entry.document() for entry in entries] for kind, entries in self.entries.items()}


def listing(kind: str | None = None) -> Listing:
    """The entries of `kind`, or of every kind."""
    kinds = KINDS if kind is None else (kind,)
    return Listing({each: _architectures() if each == "architectures" else _members(each) for each in kinds})


def _members(kind: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            name=name,
            caption=_caption(member),
            source=getattr(member, "source", None) or None,
            parts=_parts(member),
        )
        for name, member in sorted(registry(kind).items())
    )


def _architectures() -> tuple[Entry, ...]:
    known: dict[str, str] = importlib.import_module("prunecli.architectures").known_names()
    return tuple(
        Entry(name=name, caption=line, source=name.partition("/")[0]) for name, line in known.items()
    )


def _parts(member: Any) -> Mapping[str, str] | None:
    """What a strategy is made of; the others have no parts."""
    parts = getattr(member, "parts", None)
    return None if parts is None else parts.document()


def _caption(member: Any) -> str:
    """The member's own caption, else the first line of its function's docstring."""
    caption = getattr(member, "caption", None)
    if caption is None:
        caption = inspect.getdoc(getattr(member, "function", member)) or ""
    return str(caption).partition("\n")[0].rstrip(".")
