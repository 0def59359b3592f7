"""Architectures: names, empty networks, and which network a checkpoint's tensors belong to.

Importing this loads no torch; what needs it is loaded when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from prunecli.architectures.architecture import Architecture
from prunecli.architectures.naming import known_names, resolve
from prunecli.architectures.providers.contract import PROVIDERS, Provider, provider

if TYPE_CHECKING:
    from prunecli.architectures.construction import build, example_input
    from prunecli.architectures.described import build_described
    from prunecli.architectures.factory import from_factory
    from prunecli.architectures.identification import Identification, identify

_WITH_TORCH = {
    "Identification": "identification",
    "build": "construction",
    "build_described": "described",
    "example_input": "construction",
    "from_factory": "factory",
    "identify": "identification",
}

__all__ = [
    "PROVIDERS",
    "Architecture",
    "Identification",
    "Provider",
    "build",
    "build_described",
    "example_input",
    "from_factory",
    "identify",
    "known_names",
    "provider",
    "resolve",
]


def __getattr__(name: str) -> object:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
    return found
