"""All registries filled, and put back as they were after an example has registered its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.criteria.contract import CRITERIA
from prunecli.data.contract import DATA_SOURCES
from prunecli.exporters.contract import EXPORTERS
from prunecli.graph.rules.contract import RULES
from prunecli.strategies.contract import STRATEGIES

ALL: tuple[Any, ...] = (CRITERIA, RULES, DATA_SOURCES, EXPORTERS, PROVIDERS, STRATEGIES)


@contextmanager
def kept() -> Iterator[None]:
    """Forget on leaving what was registered inside."""
    before = [dict(registry) for registry in ALL]
    try:
        yield
    finally:
        for registry, members in zip(ALL, before, strict=True):
            registry._members = members
