"""docs/reports.md: its commands answer as shown, and the table names the commands that have a report."""

from __future__ import annotations

import pytest
from docs.console import faults
from docs.markdown import ROOT, blocks, table

from prunecli.reports.building import PARTS

PAGE = ROOT / "docs" / "reports.md"


@pytest.mark.usefixtures("folder")
def test_the_commands_answer_as_shown():
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_every_report_is_told_of():
    assert {row[0].strip("`") for row in table(PAGE, "Reports")} == set(PARTS)


@pytest.mark.usefixtures("folder")
def test_the_code_runs():
    [block] = blocks(PAGE, "python")
    found: dict[str, object] = {}
    exec(compile(block.text, str(PAGE), "exec"), found)
    assert "digits/resnet8" in str(found["html"])
