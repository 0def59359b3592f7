"""docs/how_it_works.md: the pictures are those that are written, and they show what is coupled."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docs.markdown import ROOT, load_script

FOLDER = ROOT / "docs" / "drawings"
SVG = "{http://www.w3.org/2000/svg}"


def colours(text):
    """The colours of the squares, column by column from the left."""
    columns = {}
    for rectangle in ElementTree.fromstring(text).iter(f"{SVG}rect"):
        if rectangle.get("fill"):
            columns.setdefault(float(rectangle.get("x")), []).append(rectangle.get("fill"))
    return [columns[x] for x in sorted(columns)]


def test_the_drawings_are_up_to_date():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert written == dict(load_script("write_drawings").drawings()), "run: python docs/write_drawings.py"


def test_what_goes_round_a_block_has_the_colours_of_what_comes_out():
    stem, inner_reads, inner, outer_reads, outer, head = colours((FOLDER / "residual.svg").read_text())
    assert stem == inner_reads == outer == head
    assert inner == outer_reads
    assert not set(stem) & set(inner)
    assert len(set(stem)) == len(set(inner)) == 4


def test_a_shuffle_deals_the_colours_out():
    before, after = colours((FOLDER / "shuffle.svg").read_text())
    a, b, c = before[:3]
    assert before == [a, b, c, a, b, c]
    assert after == [a, a, b, b, c, c]


def test_the_page_shows_every_drawing_with_a_text_for_those_who_do_not_see_it():
    page = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    shown = {path: text for text, path in re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page)}
    assert {f"drawings/{path.name}" for path in FOLDER.glob("*.svg")} == set(shown)
    assert all(len(text) > 30 for text in shown.values())
