"""The sections of every report: what was asked, what it comes to, where it ran, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.reports.cells import Cell
from prunecli.reports.sections import Block, Command, Document, Facts, Fold, Given, Part, Remarks, Words

OPEN_REMARKS = 20
_ASKED = {
    "criteria": "criteria",
    "ratios": "ratios",
    "scope": "scope",
    "seed": "seed",
    "scores": "saved scores",
    "rbo_p": "p of rank-biased overlap",
}
"""Keys of documents that say what was asked, by the words for them."""


def asked(given: Given) -> Sequence[Block]:
    """The checkpoint, and what was asked of it."""
    rows = [*checkpoint_rows(given.document), *_data(given.document)]
    rows += [
        (word, listed(given.document[key]))
        for key, word in _ASKED.items()
        if given.document.get(key) is not None
    ]
    return (Facts(rows),)


def remarks(given: Given) -> Sequence[Block]:
    """What it comes to, in words."""
    lines = given.document["remarks"]
    if not lines:
        return (Words("Nothing stands out."),)
    rest = lines[OPEN_REMARKS:]
    folded = [Fold(f"{len(rest)} more", [Remarks(rest)])] if rest else []
    return (Remarks(lines[:OPEN_REMARKS]), *folded)


def environment(given: Given) -> Sequence[Block]:
    """Where it ran, as far as the caller said."""
    rows: list[tuple[str, Cell]] = [(name, value) for name, value in given.facts.items()]
    version = given.document.get("version")
    if version is not None and "prunecli" not in given.facts:
        rows.insert(0, ("prunecli", version))
    return (Facts(rows),) if rows else ()


def repeat(given: Given) -> Sequence[Block]:
    """The command line as it was typed."""
    return (Command(given.command),) if given.command else ()


ASKED = Part("asked", "What was asked", asked)
REMARKS = Part("remarks", "In words", remarks, key="remarks")
ENVIRONMENT = Part("environment", "Environment", environment)
REPEAT = Part("repeat", "To repeat it", repeat)


def checkpoint_rows(document: Document) -> list[tuple[str, Cell]]:
    """Which checkpoint it was, none where the document does not say."""
    checkpoint = document.get("checkpoint")
    if not isinstance(checkpoint, Mapping):
        return []
    architecture = checkpoint.get("architecture")
    if isinstance(architecture, Mapping):
        architecture = architecture.get("name")
    return [
        ("checkpoint", checkpoint.get("path")),
        ("sha256", checkpoint.get("sha256")),
        ("architecture", architecture),
    ]


def _data(document: Document) -> list[tuple[str, Cell]]:
    data = document.get("data")
    if not isinstance(data, Mapping):
        return []
    words = {
        "name": "calibration data",
        "images": "calibration images",
        "batches": "batches",
        "batch_size": "batch size",
        "fingerprint": "fingerprint of the images",
    }
    return [(word, data[key]) for key, word in words.items() if data.get(key) is not None]


def listed(value: Any) -> Cell:
    """A value as somebody asked for it, several with commas."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return value if isinstance(value, bool) else str(value)
