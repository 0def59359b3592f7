"""Writing a report: the ending of its name says in which format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from prunecli import documents
from prunecli.checkpoints import Written, shown, write_data
from prunecli.errors import WrongUse
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
    data = render(documents.plain(document), command, facts).encode("utf-8")
    return write_data(path, data, force=force)


def _html(document: Document, command: str, facts: Mapping[str, str]) -> str:
    return html.render(build_report(document, command=command, facts=facts))


def _markdown(document: Document, command: str, facts: Mapping[str, str]) -> str:
    return markdown.render(build_report(document, command=command, facts=facts))


def _json(document: Document, command: str, facts: Mapping[str, str]) -> str:
    """The document itself, as the command prints it."""
    return documents.as_json(document)


_RENDERERS: Mapping[str, Render] = {"html": _html, "md": _markdown, "json": _json}
