"""The HTML report stands alone, escapes what it is given, and shows every number with its exact value."""

from __future__ import annotations

import base64
import builtins
import hashlib
import re
from html.parser import HTMLParser

import pytest
from reports.documents import COMMAND, FACTS, HOSTILE, compared, finetuned, scored

from prunecli.errors import WorkFailed
from prunecli.reports.building import PARTS, build_report
from prunecli.reports.html import render
from prunecli.reports.writing import check_report

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a reader of the source finds: elements, the text of headings and cells, and what is not closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.rows, self._cell, self.lines = [], [], [], None, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data):
        self.lines.append(data)
        if self._cell is not None:
            self._cell.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(document):
    return render(build_report(document, command=COMMAND, facts=FACTS))


@pytest.fixture(scope="module")
def comparison():
    return page_of(compared())


@pytest.fixture(scope="module")
def scores():
    return page_of(scored())


@pytest.fixture(scope="module")
def training():
    return page_of(finetuned())


def test_every_section_of_the_document_is_there_and_in_the_contents(comparison, scores):
    for kind, text in (("compare", comparison), ("score", scores)):
        wanted = [part.anchor for part in PARTS[kind] if (kind, part.anchor) != ("score", "remarks")]
        page = Page(text)
        assert [section["id"] for section in page.of("section")] == wanted
        assert [a["href"] for a in page.of("a")][1 : 1 + len(wanted)] == [f"#{name}" for name in wanted]


@pytest.mark.parametrize(
    ("key", "anchor"),
    [
        ("noise", "noise"),
        ("cwda", "weights"),
        ("judgement", "judgement"),
        ("gates", "gates"),
        ("remarks", "remarks"),
        ("global", "network"),
        ("applicability", "applicability"),
        ("first_pruned", "first"),
    ],
)
def test_a_section_is_there_only_when_its_key_is(key, anchor):
    anchors = [section.anchor for section in _sections(compared(**{key: None}))]
    assert anchor not in anchors
    assert len(anchors) == len(PARTS["compare"]) - 1


def test_an_older_comparison_without_the_newer_keys_is_shown_too():
    newer = ("rbo_p", "global_by_normalization", "noise", "cwda", "judgement", "gates", "data")
    document = compared(**dict.fromkeys(newer))
    for pair in document["pairs"]:
        del pair["interval"], pair["rbo"]
    text = page_of(document)
    assert "rank-biased" not in text
    assert ["l1", "l2", "0.924", "0.924", "0.875"] in Page(text).rows


@pytest.mark.parametrize("fixture", ["comparison", "scores", "training"])
def test_a_hostile_name_stays_text(fixture, request):
    text = request.getfixturevalue(fixture)
    page = Page(text)
    assert HOSTILE not in text
    assert len(page.of("script")) == 1
    # Cells of tables, and what stands in the list of facts and in remarks.
    cells = [cell for row in page.rows for cell in row]
    assert any(HOSTILE in text for text in [*cells, *page.lines])


def test_what_would_steer_the_reader_is_shown_as_an_escape():
    name = "conv\u202e\x01\ud800 $\\frac$"
    document = scored()
    for layer in document["layers"]:
        layer["name"] += name
    text = page_of(document)
    text.encode("utf-8")
    assert r"conv\u202e\x01\ud800 $\frac$" in text
    assert "\u202e" not in text


@pytest.mark.parametrize("fixture", ["comparison", "scores", "training"])
def test_nothing_points_outside_the_page(fixture, request):
    text = request.getfixturevalue(fixture)
    for tag, attributes in Page(text).elements:
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*[\"']?([^)]+)", text))
    assert "@import" not in text
    # The addresses that are left are those of a namespace that nobody asks for.
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_allows_itself_nothing_but_its_own_script(comparison):
    policy = next(meta["content"] for meta in Page(comparison).of("meta") if "http-equiv" in meta)
    allowed = dict(directive.split(maxsplit=1) for directive in policy.split("; "))
    script = re.search(r"<script>(.*?)</script>", comparison, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("fixture", ["comparison", "scores", "training"])
def test_ids_are_unique_and_what_points_to_them_exists(fixture, request):
    text = request.getfixturevalue(fixture)
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.of("svg")
    pointers = re.findall(r"url\(#([^)]+)\)", text)
    pointers += [a["href"][1:] for _, a in page.elements if a.get("href", "").startswith("#")]
    pointers += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(pointers) <= set(ids)
    assert sum("picture2-" in pointer for pointer in pointers) > 3


def test_numbers_have_three_digits_and_their_exact_value_beside_them(comparison):
    page = Page(comparison)
    first = ["l1", "l2", "0.924", "0.799 … 0.924", "0.924", "0.875", "0.875"]
    assert first in page.rows
    assert ["l1", "apoz", "-0.000123", "-0.125 … -0.000123", "-0.000123", "0.125", "0.125"] in page.rows
    assert ["l2", "apoz", "–", "–", "–", "–", "–"] in page.rows
    assert 'title="0.9238297">0.924</td>' in comparison
    assert 'title="-0.00012345">-0.000123</td>' in comparison
    assert 'title="0.7988297 … 0.9238297"' in comparison
    assert ">0.875</td>" in comparison  # nothing is left out of it
    assert "1.00e-07" in comparison


def test_tables_tell_what_the_document_says(comparison):
    rows = Page(comparison).rows
    assert ["missed", "jaccard", "0.5", "l1", "l2", "0.875", "0.8"] in rows
    assert rows.index(["missed", "jaccard", "0.5", "l1", "l2", "0.875", "0.8"]) < rows.index(
        ["met", "jaccard", "0.5", "l1", "apoz", "0.125", "0.8"]
    )
    assert ["l1", "0.5", "1.50", "80", "12.5", "0.250", "1,234,567", "7,654,321"] in rows
    assert ["apoz", "0.5", "–", "80", "12.5", "0.250", "1,234,567", "7,654,321"] in rows
    assert ["before any cut", "–", "0.250", "92.5", "–", "–", "–", "–"] in rows
    assert ["apoz", "no", "0.625", "0.625", "0.500", "0.500", "0.500", HOSTILE] in rows
    assert ["l1", "yes", "1", "1", "1", "1", "–", "–"] in rows
    assert ["l1", "l2", "0.924", "0.924"] in rows  # over the network: none, per-MAC
    assert ["l1", "apoz", "-0.000123", "–"] in rows
    assert ["conv1", "12 3 4", "12 4 3", "–"] in rows
    weights = ["conv3", "holds", "16", "144", "0.125", "1.00e-07", "1.25", "0.750", "0.500", "2", "2.50", "3"]
    assert weights in rows
    assert ["l2", "0.924", "1", "–"] in rows  # the heatmap as a table


def test_where_criteria_agree_least_is_averaged_over_pairs():
    pairs = compared()["pairs"]
    for pair, spearman, jaccard in zip(pairs, (0.5, -0.25, 0.0), (0.5, 0.25, 0.75), strict=True):
        pair["layers"][0].update(spearman=spearman, jaccard={"0.5": jaccard})
    rows = Page(page_of(compared(pairs=pairs))).rows
    assert ["conv1", "0.0833", "0.500", "-0.250", "l1 – apoz"] in rows
    assert [HOSTILE, "–", "–", "–", "–"] in rows


def test_scores_are_summed_up_and_the_most_disputed_layer_is_drawn(scores):
    rows = Page(scores).rows
    assert ["conv1", "4", "l1", "1", "2.50", "4", "0.447"] in rows
    assert ["conv1", "4", "apoz", "–", "–", "–", "–"] in rows
    ranks = scores[scores.index('id="ranks"') : scores.index('id="groups"')]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is where the criteria agree least" in ranks
    assert "conv1" not in ranks


def test_scores_that_are_not_numbers_are_no_ranking():
    document = scored()
    document["layers"][1]["scores"]["l1"] = [1.0, None, 3.0, 4.0]
    text = page_of(document)
    assert "conv1 is where the criteria agree least" in text
    one = scored(criteria=["l1"], layers=[{**document["layers"][0], "scores": {"l1": [1.0, 2.0, 3.0, 4.0]}}])
    assert "ranks" not in [section.anchor for section in _sections(one)]


def test_the_same_document_gives_the_same_page(comparison):
    assert page_of(compared()) == comparison


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_what_to_install(monkeypatch, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {package!r}", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WorkFailed, match=package) as caught:
        check_report("out.html")
    assert "prunecli[plot]" in caught.value.hints[0]
    check_report("out.md")


def _sections(document):
    return build_report(document, command=COMMAND, facts=FACTS).sections
