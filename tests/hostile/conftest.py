"""The command line in children of a warm process: torch is imported once for hundreds of runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hostile.warm import Warm


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="session")
def warm_with_sources() -> Iterator[Warm]:
    """One that has loaded timm and transformers as well."""
    process = Warm(sources=True)
    yield process
    process.close()
