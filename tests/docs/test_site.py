"""The site: every page is in its navigation, what they link to is staged, and it asks no other host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.markdown import ROOT, load_script
from reports import chromium

from prunecli.cli.app import COMMANDS

BUILDER = Path(sys.executable).with_name("zensical")


@pytest.fixture(scope="module")
def stager():
    return load_script("stage_site")


def test_every_page_is_in_the_navigation(stager):
    named = stager.named_pages()
    assert len(named) == len(set(named))
    assert {f"docs/{path.relative_to(ROOT / 'docs')}" for path in (ROOT / "docs").rglob("*.md")} <= set(named)
    pages = [name.split("/")[-1].removesuffix(".md") for name in named if name.startswith("docs/commands/")]
    assert pages == list(COMMANDS)


def test_what_the_pages_link_to_is_staged(stager, tmp_path, monkeypatch):
    monkeypatch.setattr(stager, "STAGE", tmp_path / "pages")
    stager.stage()
    for name in ("README.md", "docs/drawings/road.svg", "examples/models/c2f_detector.py"):
        assert (tmp_path / "pages" / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_link_that_leads_nowhere_is_told(stager, tmp_path, monkeypatch):
    monkeypatch.setattr(stager, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("[a](https://example.org) [b](#here) `[c](nowhere.md)` [d](gone.md)\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"page\.md links to .*gone\.md"):
        stager.linked(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory, stager):
    """The site as `make docs` builds it, in a folder of its own."""
    if not BUILDER.is_file():
        pytest.skip("zensical is not installed")
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stager, "STAGE", folder / "build" / "pages")
        stager.stage()
    shutil.copy(ROOT / "mkdocs.yml", folder)
    environment = {**os.environ, "NO_COLOR": "1"}
    ran = subprocess.run(
        [BUILDER, "build", "--strict"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder / "build" / "site"


@pytest.mark.slow
@pytest.mark.skipif(chromium.BINARY is None, reason="there is no Chromium here")
def test_pages_open_from_a_folder_and_ask_no_other_host(site, tmp_path):
    browser = chromium.Chromium(tmp_path)
    try:
        for name in (
            "index.html",
            "docs/commands/prune.html",
            "docs/how_it_works.html",
            "docs/criteria.html",
        ):
            browser.view(width=1200, dark=True)
            browser.open(site / name)
            assert browser.ask("document.querySelectorAll('article h1').length") == 1
            assert all(url.startswith("file:") for url in browser.requests())
        assert browser.ask("document.querySelectorAll('article table tbody tr').length") > 40
    finally:
        browser.close()


@pytest.mark.slow
def test_no_page_names_a_host_that_it_would_ask(site):
    """Links may lead elsewhere; scripts, styles, pictures and fonts may not."""

    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:", text), path
        assert not re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preload|preconnect)[^>]*https?:", text), path
