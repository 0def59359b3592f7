"""Writing a report: the ending of its name says in which format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from prunecli.checkpoints import Written, shown, write_whole
from prunecli.errors import WorkFailed, WrongUse
from prunecli.reports import html, markdown
from prunecli.reports.building import build_report
from prunecli.reports.sections import Document

Render = Callable[[Document, str, Mapping[str, str]], str]


def check_report(path: str) -> None:
    """Say before any work what would keep a report from being made.

    Raises WrongUse for another ending than .html, .md and .json, WorkFailed where a package is missing.
    """
    if report_format(path) == "html":
        html.require_packages()


def report_format(path: str) -> str:
    """The format that the path's ending names; raises WrongUse for another than .html, .md and .json."""
    ending = Path(path).suffix.lstrip(".").lower()
    if ending not in _RENDERERS:
        raise WrongUse(
            f"{shown(path)} names no report that can be made",
            hints=[f"valid endings: .{', .'.join(_RENDERERS)}"],
        )
    return ending


def write_report(
    path: str, document: Document, *, command: str, facts: Mapping[str, str], force: bool = False
) -> Written:
    """Write the report of a command's complete document, whole or not at all, as the path's ending says.

    `command` is its line as typed, `facts` are names and values of where it ran; nothing else is added, so
    that the same gives the same bytes. Raises WrongUse for another ending and as `check_output` does,
    WorkFailed where a package is missing, ValueError when `schema` names no command with a report.
    """
    render = _RENDERERS[report_format(path)]
    data = render(_plain(document), command, facts).encode("utf-8")
    return write_whole(
        path,
        lambda temporary: _write(temporary, data),
        verify=lambda temporary: _same(temporary, data),
        expected_bytes=len(data),
        force=force,
    )


def _html(document: Document, command: str, facts: Mapping[str, str]) -> str:
    return html.render(build_report(document, command=command, facts=facts))


def _markdown(document: Document, command: str, facts: Mapping[str, str]) -> str:
    return markdown.render(build_report(document, command=command, facts=facts))


def _json(document: Document, command: str, facts: Mapping[str, str]) -> str:
    """The document itself, as the command prints it."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


_RENDERERS: Mapping[str, Render] = {"html": _html, "md": _markdown, "json": _json}


def _plain(value: Any) -> Any:
    """`value` in JSON's own types; a number that is not finite is undefined."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"a {type(value).__name__} cannot stand in a report")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _same(path: Path, data: bytes) -> None:
    if path.read_bytes() != data:
        raise WorkFailed(f"{path.name} was read back with other bytes than were written")
