"""The written forms of a table, and the numbers in them."""

from __future__ import annotations

import json
import math

import pytest

from prunecli import documents
from prunecli.cli import figures, streams, tables
from prunecli.cli.screen import drawn
from prunecli.cli.tables import Table, name, number

LONG = "features." + "denseblock.denselayer." * 10 + "conv"
TABLE = Table(
    columns=(name("layer"), number("channels", figures.count), number("share", figures.share)),
    rows=((LONG, 1234567, 0.1234567890123), ("a|b", None, None)),
    title="Layers",
)


def test_text_is_aligned_and_never_cut():
    title, header, rule, first, second = tables.as_text([TABLE]).splitlines()
    assert title == "Layers"
    assert header.split() == ["layer", "channels", "share"]
    assert set(rule) == {"-", " "}
    assert first == f"{LONG}  1,234,567  12.3 %"
    assert len(first) == len(second)
    assert second.endswith("        -       -")


def test_csv_has_raw_values():
    assert tables.as_csv(TABLE).splitlines() == [
        "layer,channels,share",
        f"{LONG},1234567,0.1234567890123",
        "a|b,,",
    ]


def test_markdown_escapes_its_own_sign():
    lines = tables.as_markdown([TABLE]).splitlines()
    assert lines[0] == "### Layers"
    assert lines[3] == "| --- | ---: | ---: |"
    assert lines[5] == "| a\\|b | - | - |"


def test_empty_tables_are_left_out():
    assert tables.as_text([Table(columns=(name("a"),), rows=(), title="Nothing")]) == ""


def test_control_characters_are_shown_not_sent():
    hostile = Table(columns=(name("layer"),), rows=(("\x1b[31mconv\n",),))
    assert "\\x1b[31mconv\\n" in tables.as_text([hostile])
    assert "\x1b" not in drawn([hostile], None).replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_wide_characters_keep_the_columns_aligned():
    table = Table(columns=(name("n"), number("v")), rows=(("畳み込み", 1), ("a", 2)))
    first, second = tables.as_text([table]).splitlines()[2:]
    assert first == "畳み込み  1"
    assert second == "a         2"


def test_a_drawn_table_is_not_folded_in_a_pipe(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert LONG in drawn([TABLE], None)
    assert "1,234,567" in drawn([TABLE], None)


def test_no_color_removes_every_escape_even_when_drawn(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in drawn([TABLE], None)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in drawn([TABLE], None)


@pytest.mark.parametrize(
    ("show", "value", "expected"),
    [
        (figures.count, 1234567, "1,234,567"),
        (figures.count, None, "-"),
        (figures.share, 0.4963, "49.6 %"),
        (figures.share, float("nan"), "-"),
        (figures.percentage, 93.125, "93.12 %"),
        (figures.times, 1.984, "1.98x"),
        (figures.shape, [3, 32, 32], "3x32x32"),
        (figures.scientific, 2.44e-7, "2.4e-07"),
        (figures.text, True, "yes"),
        (figures.text, {"num_classes": 10}, "num_classes=10"),
        (figures.rate, 1234.5, "1,234"),
        (figures.decimal, None, "-"),
    ],
)
def test_figures(show, value, expected):
    assert show(value) == expected


def test_json_has_no_nan_full_precision_and_the_order_given():
    document = {"z": float("nan"), "a": (0.1 + 0.2, math.inf), "n": {1: None}, "s": "Σ\udcff"}
    text = documents.as_json(documents.complete("score", document))
    assert text.isascii()
    read = json.loads(text)
    assert list(read) == ["schema", "version", "z", "a", "n", "s"]
    assert read["z"] is None
    assert read["a"] == [0.30000000000000004, None]
    assert read["n"] == {"1": None}


def test_json_takes_numbers_of_numpy_and_refuses_what_is_no_value():
    import numpy

    assert json.loads(documents.as_json({"a": numpy.int64(3), "b": numpy.float32(0.5)})) == {"a": 3, "b": 0.5}
    with pytest.raises(TypeError, match="a set cannot stand in a JSON document"):
        documents.as_json({"a": {1}})


BARS = Table(
    columns=(name("layer"), number("removed", figures.share), tables.bar("kept")),
    rows=(("conv1", 0.25, 0.75),),
)


def test_bars_are_drawn_on_a_screen_only():
    assert "████████░░" in drawn([BARS], None)
    assert "█" not in tables.as_text([BARS]) + tables.as_markdown([BARS])
    assert tables.as_text([BARS]).splitlines()[0].split() == ["layer", "removed"]


def test_bars_give_way_where_the_table_would_fold(monkeypatch):
    monkeypatch.setattr(streams, "width", lambda _: 24)
    assert "█" not in drawn([BARS], None)
    monkeypatch.setattr(streams, "width", lambda _: 80)
    assert "█" in drawn([BARS], None)


@pytest.mark.parametrize(
    ("share", "bar"),
    [(0.0, "░" * 10), (0.001, "█" + "░" * 9), (0.5, "█" * 5 + "░" * 5), (1.0, "█" * 10), (None, "")],
)
def test_a_bar_has_ten_blocks_and_shows_the_least_that_is_left(share, bar):
    assert figures.bar(share) == bar
