"""docs/limits.md: each border answers as the page says."""

from __future__ import annotations

from docs.console import faults
from docs.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "limits.md"


def test_the_commands_answer_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_the_reasons_are_those_of_the_code():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "prunecli").rglob("*.py"))
    page = PAGE.read_text(encoding="utf-8")
    for words in (
        "an output of the network",
        "convolves a fixed dimension",
        "no coupling rule for ",
        "another factor of the same dimension leaves",
        "selected by its index",
        "picked by an index",
        "tied by a residual sum (--residual inner)",
        "the criterion is not available for its layers",
    ):
        assert words in page
        assert words in source
