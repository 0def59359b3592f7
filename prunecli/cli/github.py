"""What GitHub Actions shows of a check: annotations beside a pull request, and the summary of a step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli import documents
from prunecli.cli import output, tables

if TYPE_CHECKING:
    from prunecli.cli.output import PageOf
    from prunecli.workflows.check import CheckResult

_RUNS_THERE = "GITHUB_ACTIONS"
_SUMMARY = "GITHUB_STEP_SUMMARY"


def tell(result: CheckResult, *, pages: PageOf) -> None:
    """Annotate each missed gate and add the table to the summary, where the environment asks for that.

    Annotations go to standard error, which is read there as well, so that a result stays clean. A summary
    that cannot be written changes nothing of the result.
    """
    if os.environ.get(_RUNS_THERE) == "true":
        from prunecli.gates.workflow_commands import annotated

        output.notes(annotated(result.missed, level="warning" if result.forgiving else "error"))
    summary = os.environ.get(_SUMMARY)
    if summary:
        text = tables.as_markdown(pages.page(documents.complete("check", result.document())))
        try:
            with Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{text}\n")
        except OSError as error:
            output.notes([f"the step summary was not written: {error.strerror or error}"])
