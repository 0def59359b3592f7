"""docs/budgets.md: its commands answer as shown, its tables name what there is."""

from __future__ import annotations

import re

import pytest
from docs.console import faults
from docs.markdown import ROOT, blocks, table

from prunecli.allocation.counting import SCOPES
from prunecli.allocation.scales import SCALES
from prunecli.allocation.targets import KINDS, read_target

PAGE = ROOT / "docs" / "budgets.md"


@pytest.mark.usefixtures("folder")
def test_the_commands_answer_as_shown():
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_the_targets_are_those_that_are_read():
    rows = table(PAGE, "What may remain")
    assert [row[0] for row in rows] == [f"`{kind}`" for kind in KINDS]
    for row in rows:
        for text in re.findall(r"`(\w+=[^`]+)`", " ".join(row[1:3])):
            assert read_target(text).kind == row[0].strip("`")


def test_the_scopes_and_scales_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8").partition("## From where")[2].partition("```console")[0]
    scopes, scales = text.partition("| `--normalization`")[::2]
    assert re.findall(r"^\| `(\w+)`", scopes, re.MULTILINE) == [*SCOPES]
    first_cells = [line.split(" | ")[0] for line in scales.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(first_cells))) == sorted(SCALES)
