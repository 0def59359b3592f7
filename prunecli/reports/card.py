"""A model card: the front matter that hubs read, and the report's sections for people below it.

Front matter is YAML. Its values are written as JSON, which YAML contains, so that nothing in a name can be
taken for a mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from prunecli.checkpoints import Written, shown, write_data
from prunecli.documents import plain
from prunecli.errors import WrongUse
from prunecli.reports import markdown
from prunecli.reports.building import Report, build_report, kind_of
from prunecli.reports.cells import printable
from prunecli.reports.sections import Document

LIBRARY = "prunecli"
TASK = "image-classification"
_SECTIONS = ("remarks", "figures", "target", "loading", "verification", "channels", "protected", "repeat")
"""Sections of the report that a card has, the first ones first."""
_COSTS = (("macs", "MACs"), ("params", "Parameters"), ("bytes", "Bytes of weights"))


def check_card(path: str) -> None:
    """Raise WrongUse, before any work, for a card that is no Markdown file."""
    if PurePath(path).suffix.lower() != ".md":
        raise WrongUse(f"{shown(path)} names no model card", hints=["a card is Markdown: --card README.md"])


def write_card(
    path: str,
    document: Document,
    *,
    command: str,
    facts: Mapping[str, str],
    base_model: str | None = None,
    force: bool = False,
) -> Written:
    """Write the card of a complete document of `prune` or `finetune`, whole or not at all."""
    text = card(plain(document), command=command, facts=facts, base_model=base_model)
    return write_data(path, text.encode("utf-8"), force=force)


def card(document: Document, *, command: str, facts: Mapping[str, str], base_model: str | None = None) -> str:
    """Front matter, then the report as Markdown."""
    report = build_report(document, command=command, facts=facts)
    found = {section.anchor: section for section in report.sections}
    name = _name(document)
    sections = tuple(found[anchor] for anchor in _SECTIONS if anchor in found)
    matter = "".join(f"{key}: {json.dumps(value)}\n" for key, value in _matter(document, name, base_model))
    return f"---\n{matter}---\n\n{markdown.render(Report(name, sections))}"


def _matter(document: Document, name: str, base_model: str | None) -> Iterator[tuple[str, Any]]:
    yield "library_name", LIBRARY
    yield "tags", [*_tags(document)]
    if base_model is not None:
        yield "base_model", base_model
    metrics = _metrics(document)
    if any(metric["type"] == "accuracy" for metric in metrics):
        yield "pipeline_tag", TASK
        result = {"task": {"type": TASK}, "dataset": _dataset(document), "metrics": metrics}
        yield "model-index", [{"name": name, "results": [result]}]


def _tags(document: Document) -> Iterator[str]:
    yield from (LIBRARY, "pruning", "structured-pruning")
    checkpoint = document.get("checkpoint")
    architecture = checkpoint.get("architecture") if isinstance(checkpoint, Mapping) else None
    for word in (architecture, document.get("strategy"), document.get("criterion")):
        plain_word = re.sub(r"[^A-Za-z0-9.]+", "-", str(word or "").rpartition("/")[2]).strip("-")
        if plain_word:
            yield plain_word


def _name(document: Document) -> str:
    """That of the file that was written, else of the one that was read."""
    checkpoint = document.get("checkpoint")
    read = checkpoint.get("path") if isinstance(checkpoint, Mapping) else None
    path = (document.get("output") or {}).get("path") or read or LIBRARY
    return str(printable(PurePath(str(path)).stem or LIBRARY))


def _dataset(document: Document) -> dict[str, str]:
    data = document.get("data")
    name = data.get("name") if isinstance(data, Mapping) else data
    said = str(printable(name or "unknown"))
    return {"name": said, "type": re.sub(r"[^A-Za-z0-9_.-]+", "-", said).strip("-") or "unknown"}


def _metrics(document: Document) -> list[dict[str, Any]]:
    """Accuracy as it leaves, and what the network costs."""
    after = document.get("after") or {}
    accuracy = after if kind_of(document) == "finetune" else document.get("accuracy") or {}
    key = "accuracy" if kind_of(document) == "finetune" else "after"
    found = [{"type": "accuracy", "name": "Accuracy, %", "value": accuracy.get(key)}]
    found += [{"type": kind, "name": words, "value": after.get(kind)} for kind, words in _COSTS]
    return [metric for metric in found if metric["value"] is not None]
