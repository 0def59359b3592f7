"""Names on the command line, checked against the registries; none of it loads torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from prunecli.cli.values import Names
from prunecli.errors import unknown_name

# What `catalog` lists: the word for one of them, the module that holds the registry, its name there.
REGISTRIES = {
    "criteria": ("criterion", "prunecli.criteria.contract", "CRITERIA"),
    "strategies": ("strategy", "prunecli.strategies.contract", "STRATEGIES"),
    "exporters": ("exporter", "prunecli.exporters.contract", "EXPORTERS"),
    "data": ("data source", "prunecli.data.contract", "DATA_SOURCES"),
}


def registry(kind: str) -> Mapping[str, Any]:
    """The members of `kind` ("criteria", "strategies", "exporters" or "data") by name."""
    _, module, attribute = REGISTRIES[kind]
    found: Mapping[str, Any] = getattr(importlib.import_module(module), attribute)
    return found


def name(kind: str) -> Callable[[str], str]:
    """A parser of one name of `kind`; raises WrongUse with the nearest match for an unknown one."""

    def parse(text: str) -> str:
        given = text.strip()
        if given not in registry(kind):
            raise unknown_name(REGISTRIES[kind][0], given, registry(kind))
        return given

    return parse


def criterion(text: str) -> str:
    """A criterion: a name, a name with options, or an ensemble; raises WrongUse for what is none."""
    from prunecli.criteria.specification import criterion_named

    return criterion_named(text).name


def criteria(text: str) -> Names:
    """Criteria with commas between them, those inside parentheses not counted."""
    from prunecli.criteria.specification import split_outside

    return Names(criterion(part) for part in split_outside(text))


def choice(word: str, valid: tuple[str, ...]) -> Callable[[str], str]:
    """A parser of one of a few fixed words."""

    def parse(text: str) -> str:
        if text not in valid:
            raise unknown_name(word, text, valid)
        return text

    return parse


def architectures(incomplete: str) -> list[str]:
    """What the shell offers for an architecture: the sources first, then the names of one."""
    from prunecli.architectures.index import shipped_index

    known = list(shipped_index().lines)
    if "/" not in incomplete:
        known = [f"{source}/" for source in sorted({name.partition("/")[0] for name in known})]
    return [name for name in known if name.startswith(incomplete)]


def completion(kind: str) -> Callable[[str], list[str]]:
    """What the shell offers when an option takes a name of `kind`."""

    def offer(incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",")
        return [f"{head}{comma}{known}" for known in registry(kind) if known.startswith(last)]

    return offer
