"""Links inside the documentation lead somewhere, and nothing of the machine it was written on is left."""

from __future__ import annotations

import re

import pytest
from docs.markdown import ROOT, anchors, blocks, links

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_the_pages_are_there():
    names = {path.name for path in PAGES}
    assert {
        "README.md",
        "CHANGELOG.md",
        "architecture.md",
        "extending.md",
        "glossary.md",
        "limits.md",
        "strategies.md",
        "training.md",
    } <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_internal_links_exist(page):
    for text, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path) if path else page
        assert place.exists(), f"{text}: {target}"
        assert not anchor or anchor in anchors(place), f"{text}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:prunecli|tests|docs|sample_models|examples|benchmarks)/[\w./]*)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_a_machine(page):
    assert not re.search(r"(?<![\w.])/(home|root|work|Users|tmp)/", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_ends(page):
    blocks(page, "python")
