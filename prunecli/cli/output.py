"""Where results and notes are written: results to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TextIO

from prunecli import documents
from prunecli.cli import streams, tables
from prunecli.cli.tables import Page, Table
from prunecli.errors import WorkFailed


class PageOf(Protocol):
    """A module of `pages/`: how one command's document is read by people."""

    def page(self, document: Mapping[str, Any], /) -> Page:
        """The tables that people read."""

    def flat(self, document: Mapping[str, Any], /) -> Table:
        """The one rectangular table of --format csv."""


def result(command: str, document: Mapping[str, Any], *, pages: PageOf, manner: str, piped: bool) -> None:
    """Write a result as `manner`: table, json, csv, md, or path (of the file written, if any).

    `piped`: standard output carries a checkpoint, so the result goes to standard error. Raises
    WorkFailed when it cannot be written; a reader who went away is no failure.
    """
    whole = documents.complete(command, document)
    stream = sys.stderr if piped else sys.stdout
    if manner == "path":
        path = (whole.get("output") or {}).get("path")
        emit("" if path is None or piped else f"{path}\n", stream)
    elif manner == "json":
        emit(documents.as_json(whole), stream)
    elif manner == "csv":
        emit(tables.as_csv(pages.flat(whole)), stream)
    elif manner == "md":
        emit(tables.as_markdown(pages.page(whole)), stream)
    elif streams.decorated(stream):
        from prunecli.cli.screen import drawn

        emit(drawn(pages.page(whole), stream), stream)
    else:
        emit(tables.as_text(pages.page(whole)), stream)


def emit(text: str, stream: TextIO | None) -> None:
    """Write `text` whole and at once, so that a failure shows here and not at exit."""
    if not text:
        return
    if stream is None:
        raise WorkFailed("the result cannot be written: standard output is closed")

    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        streams.abandon()
    except OSError as error:
        streams.abandon()
        raise WorkFailed(f"the result cannot be written: {error.strerror or error}") from None


def notes(lines: Iterable[str]) -> None:
    """Write lines for people to standard error; there they may get lost, so nothing is raised."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.writelines(f"{streams.printable(line)}\n" for line in lines)
        sys.stderr.flush()
