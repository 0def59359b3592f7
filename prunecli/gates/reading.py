"""Reading what a command has printed with --json, from a file, a pipe or standard input."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from prunecli.checkpoints import shown
from prunecli.checkpoints.outputs import STREAM
from prunecli.errors import InputRefused

_SCHEMA = re.compile(r"prunecli\.(?P<command>[a-z]+)/(?P<number>[0-9]+)")
_KNOWN_NUMBER = "1"
_HOW = "print one with --json: prunecli prune model.safetensors --ratio 0.5 --json > report.json"


@dataclass(frozen=True)
class Report:
    """A JSON document of `command`; `path` is "-" for standard input."""

    path: str
    command: str
    document: Mapping[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        """How messages call it."""
        return label(self.path)


def label(path: str) -> str:
    """How messages call a path."""
    return "standard input" if path == STREAM else shown(path)


def read_report(path: str) -> Report:
    """Read one document; raises InputRefused for what is none that prunecli has printed."""
    name = label(path)
    document = _parsed(_content(path), name)
    schema = document.get("schema") if isinstance(document, dict) else None
    found = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if found is None:
        raise InputRefused(
            f"{name} is no report of prunecli: it has no schema such as prunecli.prune/1", hints=[_HOW]
        )
    if found["number"] != _KNOWN_NUMBER:
        raise InputRefused(
            f"{name} has the schema {schema}, which this version does not know",
            hints=["check it with the version of prunecli that printed it"],
        )
    return Report(path, found["command"], document)


def _content(path: str) -> bytes:
    """The bytes of a report; those of another file are not all read."""
    try:
        if path == STREAM:
            return sys.stdin.buffer.read()
        with Path(path).open("rb") as file:
            head = file.read(64)
            if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and head.strip():
                raise InputRefused(f"{label(path)} is no JSON document", hints=[_HOW])
            return head + file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputRefused(f"{label(path)} cannot be read: {reason}", hints=[_HOW]) from None


def _parsed(content: bytes, name: str) -> Any:
    if not content.strip():
        raise InputRefused(f"{name} is empty", hints=["did the command that was to print it fail?"])
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refused)
    except RecursionError:
        raise InputRefused(f"{name} is nested too deep for a report") from None
    except ValueError as error:
        reason = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputRefused(f"{name} is no JSON document: {reason}", hints=[_HOW]) from None


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
