"""Markdown has the same sections as tables; the ending chooses the format; JSON is the document itself."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from reports.documents import COMMAND, FACTS, HOSTILE, compared, scored

from prunecli.errors import WrongUse
from prunecli.reports.building import build_report
from prunecli.reports.cells import Interval, printable, shown
from prunecli.reports.markdown import escaped, render
from prunecli.reports.writing import check_report, write_report


def text_of(document):
    return render(build_report(document, command=COMMAND, facts=FACTS))


def written(path, document, **options):
    return write_report(str(path), document, command=COMMAND, facts=FACTS, **options)


def test_every_section_is_a_heading_and_tables_have_whole_rows():
    report = build_report(compared(), command=COMMAND, facts=FACTS)
    lines = text_of(compared()).splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == [section.title for section in report.sections]
    assert "| l1 | l2 | 0.924 | 0.799 … 0.924 | 0.924 | 0.875 | 0.875 |" in lines
    assert "| conv1 | 12 3 4 | 12 4 3 | – |" in lines
    assert "- apoz has no contrast" in lines
    assert COMMAND in lines
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.count(" |") == line.count(" |")


def test_the_report_of_scores_has_no_pictures_and_all_numbers():
    text = text_of(scored())
    assert "svg" not in text
    assert "| conv1 | 4 | l1 | 1 | 2.50 | 4 | 0.447 |" in text


def test_names_cannot_make_marks_or_elements():
    assert HOSTILE not in text_of(compared())
    assert escaped("a|b*c_d `e` [f](g) <h> & _i_\nj") == (r"a\|b\*c_d \`e\` \[f\](g) &lt;h&gt; &amp; \_i\_ j")


def test_a_command_with_fences_stays_inside_its_own():
    text = render(build_report(compared(), command="prunecli '```' x", facts={}))
    assert "````sh\nprunecli '```' x\n````" in text


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (0.9238297, "0.924", "0.9238297"),
        (1.0, "1", None),
        (0.99996, "1.00", "0.99996"),
        (0.5, "0.500", None),
        (0.00012345, "0.000123", "0.00012345"),
        (2.4e-7, "2.40e-07", None),
        (2.4012e-7, "2.40e-07", "2.4012e-07"),
        (-12.346, "-12.3", "-12.346"),
        (12345.678, "12,346", "12345.678"),
        (9.99e20, "9.99e+20", None),
        (1234567, "1,234,567", None),
        (0, "0", None),
        (True, "yes", None),
        (None, "–", None),
        (math.nan, "–", None),
        (Interval(0.25, 1.0), "0.250 … 1", None),
        (Interval(-0.12345, 0.25), "-0.123 … 0.250", "-0.12345 … 0.25"),
        ("conv1", "conv1", None),
    ],
)
def test_a_value_is_short_but_never_nothing(value, text, exact):
    found = shown(value)
    assert (found.text, found.exact) == (text, exact)


def test_what_is_not_seen_is_escaped_in_keys_too():
    assert printable({"a\x00": ["\u202eb", 1.5, None]}) == {r"a\x00": [r"\u202eb", 1.5, None]}


def test_json_is_the_document_with_null_for_what_is_no_number(tmp_path):
    document = compared()
    result = written(tmp_path / "out.json", {**document, "extra": math.inf})
    assert json.loads((tmp_path / "out.json").read_text()) == {**document, "extra": None}
    assert result.bytes == (tmp_path / "out.json").stat().st_size


@pytest.mark.parametrize("ending", ["html", "HTML", "md", "json"])
def test_the_ending_chooses_and_the_same_gives_the_same_bytes(tmp_path, ending):
    first = written(tmp_path / f"a.{ending}", scored())
    second = written(tmp_path / f"b.{ending}", scored())
    assert first.sha256 == second.sha256
    start = {"html": b"<!DOCTYPE html>", "md": b"# prunecli score", "json": b"{"}[ending.lower()]
    assert (tmp_path / f"a.{ending}").read_bytes().startswith(start)


@pytest.mark.parametrize("path", ["out.pdf", "out", "-"])
def test_another_ending_is_refused_with_what_is_valid(path):
    with pytest.raises(WrongUse, match=path) as caught:
        check_report(path)
    assert caught.value.hints == ("valid endings: .html, .md, .json",)


def test_a_file_that_is_there_is_kept_without_force(tmp_path):
    path = tmp_path / "out.md"
    path.write_text("mine")
    with pytest.raises(WrongUse, match="exists"):
        written(path, scored())
    assert path.read_text() == "mine"
    written(path, scored(), force=True)
    assert path.read_text().startswith("# prunecli score")


def test_a_document_of_another_command_has_no_report():
    with pytest.raises(ValueError, match=r"prunecli\.catalog/1"):
        text_of({"schema": "prunecli.catalog/1"})
