"""The HTML report in a real browser: quiet, alone, sortable by keyboard, in light and dark and on a phone."""

from __future__ import annotations

import pytest
from reports import chromium
from reports.documents import (
    COMMAND,
    FACTS,
    HOSTILE,
    benched,
    compared,
    finetuned,
    inspected,
    pruned,
    scored,
    sensitive,
)

from prunecli.reports.building import PARTS
from prunecli.reports.writing import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.BINARY is None, reason="there is no Chromium here"),
]
PAIRS = "document.querySelector('#pairs table')"
DOCUMENTS = {
    "compare": compared(),
    "score": scored(),
    "finetune": finetuned(),
    "prune": pruned(),
    "inspect": inspected(),
    "sensitivity": sensitive(),
    "bench": benched(),
}
SPEARMAN = f"[...{PAIRS}.tHead.rows[0].cells].find((cell) => cell.textContent === 'Spearman')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for kind, document in DOCUMENTS.items():
        write_report(str(folder / f"{kind}.html"), document, command=COMMAND, facts=FACTS)
    return {kind: folder / f"{kind}.html" for kind in DOCUMENTS}


def column(browser, number):
    return browser.ask(f"[...{PAIRS}.tBodies[0].rows].map((row) => row.cells[{number}].textContent)")


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        ("compare", {"l1", "l2", "apoz"}),
        ("score", {"l1", "l2", "apoz"}),
        ("finetune", {"Loss", "Accuracy, %", "best: epoch 2, 87.5"}),
        ("prune", {"filters", "before", "after", "linear", "Loss", "16 → 8", "coupled by 1 sum in layer1"}),
        ("inspect", {"layer1.conv1", "reads them"}),
        ("sensitivity", {"Accuracy, %", "Loss", "Points of accuracy lost", "45.0"}),
        ("bench", {"small.pt", "  2.5 ms"}),
    ],
)
def test_the_page_says_nothing_to_the_console_and_asks_for_nothing(browser, pages, kind, drawn):
    browser.view(width=1280)
    browser.open(pages[kind])
    assert browser.complaints() == []
    assert browser.requests() == [pages[kind].resolve().as_uri()]
    wanted = [part.anchor for part in PARTS[kind] if (kind, part.anchor) != ("score", "remarks")]
    assert browser.ask("[...document.querySelectorAll('section')].map((section) => section.id)") == wanted
    assert browser.ask(f"document.body.textContent.includes({HOSTILE!r})")
    # Pictures hold text as text.
    words = "[...document.querySelectorAll('svg text')].map((text) => text.textContent)"
    assert drawn <= set(browser.ask(words))


def test_a_foreign_script_would_not_run(browser, pages):
    browser.open(pages["compare"])
    browser.ask(
        "(() => { const script = document.createElement('script');"
        " script.textContent = 'window.ran = true'; document.body.append(script); })()"
    )
    assert browser.ask("window.ran === undefined")


def test_a_heading_sorts_by_exact_values_with_the_undefined_last(browser, pages):
    browser.view(width=1280)
    browser.open(pages["compare"])
    assert column(browser, 2) == ["0.924", "-0.000123", "–"]
    browser.ask(f"{SPEARMAN}.querySelector('button').focus()")
    browser.press("Enter", text="\r")
    assert browser.ask(f"{SPEARMAN}.getAttribute('aria-sort')") == "descending"
    assert column(browser, 2) == ["0.924", "-0.000123", "–"]
    browser.press("Enter", text="\r")
    assert browser.ask(f"{SPEARMAN}.getAttribute('aria-sort')") == "ascending"
    assert column(browser, 2) == ["-0.000123", "0.924", "–"]
    browser.ask(f"{PAIRS}.tHead.rows[0].cells[1].querySelector('button').click()")
    assert column(browser, 1) == ["apoz", "apoz", "l2"]
    assert browser.ask(f"{SPEARMAN}.hasAttribute('aria-sort')") is False
    assert browser.complaints() == []


def test_values_that_look_the_same_are_sorted_as_they_are(browser, tmp_path):
    pairs = compared()["pairs"]
    for pair, spearman in zip(pairs, (0.92381, 0.92419, 0.92402), strict=True):
        pair["spearman"] = spearman
    write_report(str(tmp_path / "close.html"), compared(pairs=pairs), command=COMMAND, facts=FACTS)
    browser.open(tmp_path / "close.html")
    assert column(browser, 2) == ["0.924", "0.924", "0.924"]
    browser.ask(f"{SPEARMAN}.querySelector('button').click()")
    assert list(zip(column(browser, 0), column(browser, 1), strict=True)) == [
        ("l1", "apoz"),
        ("l2", "apoz"),
        ("l1", "l2"),
    ]


def test_the_keyboard_comes_to_the_content_and_shows_where_it_is(browser, pages):
    browser.open(pages["compare"])
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    assert browser.ask("document.activeElement.getBoundingClientRect().left >= 0")
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter", text="\r")
    assert browser.ask("document.activeElement.id") == "content"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_reader_and_the_toggle(browser, pages, dark):
    def brightness():
        return browser.ask("+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")

    browser.view(width=1280, dark=dark)
    browser.open(pages["compare"])
    assert (brightness() < 60) is dark
    assert browser.ask("getComputedStyle(document.querySelector('.picture')).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert browser.ask("document.getElementById('theme').textContent") == ("Light" if dark else "Dark")
    browser.ask("document.getElementById('theme').click()")
    assert (brightness() < 60) is not dark
    assert browser.ask("document.getElementById('theme').textContent") == ("Dark" if dark else "Light")


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_on_a_phone_only_boxes_scroll_sideways(browser, pages, kind, tmp_path):
    browser.view(width=360, height=780)
    browser.open(pages[kind])
    assert browser.ask("document.documentElement.scrollWidth") == 360
    boxes = "[...document.querySelectorAll('.table')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert browser.ask(f"{boxes}.length") > 0
    browser.screenshot(tmp_path / "phone.png", whole=True)
    assert (tmp_path / "phone.png").stat().st_size > 10_000


def test_on_paper_folds_are_open_and_afterwards_as_before(browser, pages):
    browser.view(width=1280)
    browser.open(pages["compare"])
    closed = "document.querySelectorAll('details:not([open])').length"
    buttons = "document.querySelectorAll('th button').length"
    before = browser.ask(closed), browser.ask(buttons)
    assert min(before) > 0
    browser.ask("dispatchEvent(new Event('beforeprint'))")
    assert (browser.ask(closed), browser.ask(buttons)) == (0, 0)
    browser.ask("dispatchEvent(new Event('afterprint'))")
    assert (browser.ask(closed), browser.ask(buttons)) == before
