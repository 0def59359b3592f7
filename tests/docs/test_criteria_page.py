"""docs/criteria.md is what the criteria say of themselves."""

from __future__ import annotations

from pathlib import Path

from docs.markdown import load_script

from prunecli.criteria.contract import CRITERIA

DOCS = Path(__file__).parents[2] / "docs"


def writer():
    return load_script("write_criteria")


def test_the_page_is_up_to_date():
    written = (DOCS / "criteria.md").read_text(encoding="utf-8")
    assert written == writer().page(), "run: python docs/write_criteria.py"


def test_every_criterion_has_its_line_and_its_formula():
    text = writer().page()
    for name, member in CRITERIA.items():
        assert f"| [`{name}`](#{name}) |" in text
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert member.caption in section
        assert "score_f" in section
