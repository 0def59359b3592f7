"""JSON documents: the schema and the version first, then the workflow's keys in their order, never NaN."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from prunecli.version import __version__


def complete(command: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of `command` as scripts get it."""
    return {"schema": f"prunecli.{command}/1", "version": __version__, **plain(document)}


def as_json(document: Mapping[str, Any]) -> str:
    """`document` as indented ASCII: any locale can write it, any reader can read it."""
    return json.dumps(plain(document), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """`value` in JSON's own types; what is undefined becomes null."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} cannot stand in a JSON document")
