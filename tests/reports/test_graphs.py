"""The channel graph as text, SVG, DOT and Mermaid: lanes, coupling, what stays, odd names."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from reports.documents import GRAPH, HOSTILE

from prunecli.errors import WrongUse
from prunecli.reports.graphs.drawing import DRAWINGS, ENDINGS, draw, form_of
from prunecli.reports.graphs.lanes import lanes_of
from prunecli.reports.graphs.svg import as_svg
from prunecli.reports.graphs.wording import coupling, fate, members, reasons

STREAM, INNER, OUTPUT, IMAGE = GRAPH["groups"]


def test_the_stream_has_the_first_lane_and_what_ends_leaves_its_own():
    lanes = lanes_of(GRAPH)
    places = {name: (strand.lane, strand.first, strand.last) for name, strand in lanes.strands.items()}
    assert places == {HOSTILE: (0, 0, 3), "layer1.conv1": (1, 1, 2), "linear": (1, 3, 3)}
    assert lanes.count == 2


def test_the_longest_stands_on_the_left():
    ends = {"a": ([], ["a"]), "b": (["a"], ["b"]), "c": (["b"], ["b"])}
    flow = [
        {"layer": name, "type": "Linear", "channels": 8, "reads": reads, "makes": makes}
        for name, (reads, makes) in ends.items()
    ]
    groups = [{**INNER, "name": name} for name in "ab"]
    strands = lanes_of({"groups": groups, "flow": [*flow, flow[-1]]}).strands
    assert {name: strand.lane for name, strand in strands.items()} == {"a": 1, "b": 0}


def test_a_dimension_of_one_that_no_layer_makes_is_not_drawn():
    assert IMAGE["name"] not in lanes_of(GRAPH).strands
    wide = {**IMAGE, "channels": 3}
    assert IMAGE["name"] in lanes_of({**GRAPH, "groups": [STREAM, INNER, OUTPUT, wide]}).strands


def test_text_shows_who_reads_and_who_makes():
    lines = draw({**GRAPH, "groups": GRAPH["groups"]}, "text").splitlines()
    assert [line[:3] for line in lines[2:6]] == ["●  ", "○─●", "●─○", "○─●"]
    assert lines[2].endswith("16  coupled by 1 sum in layer1")
    assert lines[5].endswith("10  10 channels stay: an output of the network")
    assert f"  made by  {HOSTILE}, layer1.conv2" in lines
    assert "  read by  layer1.conv1, linear" in lines
    assert "  follow   bn1" in lines


def test_a_line_crosses_the_lanes_between():
    wide = {
        **GRAPH,
        "flow": [*GRAPH["flow"][:2], {**GRAPH["flow"][2], "makes": ["linear"]}, *GRAPH["flow"][3:]],
    }
    rows = draw(wide, "text").splitlines()[2:6]
    assert rows[2].startswith("│ ○─●")


def test_svg_is_well_formed_and_holds_names_as_text():
    root = ElementTree.fromstring(draw(GRAPH, "svg"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert HOSTILE in texts
    dots = [each for each in root.iter("{http://www.w3.org/2000/svg}circle") if each.get("r") == "4.5"]
    assert len(dots) == 1 + 4  # that of the legend


def test_svg_says_what_is_left_of_a_layer():
    drawn = as_svg(GRAPH, after={"layer1.conv1": 4, "linear": 10})
    assert "8 → 4" in drawn
    assert "10 → 10" not in drawn


def test_svg_shows_what_cannot_be_seen_as_an_escape():
    odd = {**GRAPH, "flow": [{**GRAPH["flow"][0], "layer": "a\x1b[31m"}], "groups": GRAPH["groups"]}
    assert "a\\x1b[31m" in as_svg(odd)


def test_dot_quotes_names_and_dashes_what_stays():
    quoted = {**GRAPH, "groups": [{**STREAM, "name": 'a"b\\'}, INNER, OUTPUT], "flow": [
        {**GRAPH["flow"][0], "reads": [], "makes": ['a"b\\']}, GRAPH["flow"][3]]}  # fmt: skip
    lines = draw(quoted, "dot").splitlines()
    assert lines[0] == "digraph channels {"
    assert '  g0 [label="a\\"b\\\\\\n16 channels may leave"];' in lines
    assert any("dashed" in line and "10 channels stay" in line for line in lines)
    assert "  l0 -> g0;" in lines


def test_mermaid_writes_marks_as_numbers():
    lines = draw(GRAPH, "mermaid").splitlines()
    assert lines[0] == "flowchart TD"
    assert any("#60;script#62;" in line for line in lines)
    assert "<script" not in "\n".join(lines)
    assert "  g0 --> l1" in lines
    assert "  l1 --> g1" in lines
    assert "  class g2 stays" in lines


def test_words_name_some_places_and_count_the_rest():
    group = {
        **STREAM,
        "coupled_by": [{"how": "sum", "where": list("abcde")}, {"how": "attention", "where": ["f"]}],
    }
    assert coupling(group) == "5 sums in a, b, c and 2 more; attention in f"
    assert coupling(group, shown=None) == "5 sums in a, b, c, d, e; attention in f"
    grouped = {**STREAM, "coupled_by": [{"how": "convolution in groups", "where": ["a", "b"]}]}
    assert coupling(grouped) == "2 convolutions in groups in a, b"


def test_one_channel_is_one():
    assert fate(IMAGE) == "1 channel stays: convolves a fixed dimension"
    assert fate(INNER) == "8 channels may leave"


def test_a_layer_that_makes_a_group_does_not_follow_it_too():
    both = {**STREAM, "members": [*STREAM["members"], {"layer": HOSTILE, "axis": 0, "role": "follows"}]}
    assert members(both)["follow"] == ["bn1"]


def test_reasons_come_together_without_the_names_of_others():
    factors = [
        {**OUTPUT, "name": name, "reason": f"another factor of the same dimension leaves: {name}"}
        for name in ("a", "b")
    ]
    found = reasons([STREAM, IMAGE, *factors])
    assert {reason: len(groups) for reason, groups in found.items()} == {
        "another factor of the same dimension leaves": 2,
        "convolves a fixed dimension": 1,
    }
    assert next(iter(found)).startswith("another")


@pytest.mark.parametrize("form", DRAWINGS)
def test_every_form_draws_a_network_without_layers(form):
    assert draw({"groups": [], "flow": []}, form)


def test_endings_name_forms():
    assert {form_of(f"a{ending}") for ending in ENDINGS} == set(DRAWINGS)
    with pytest.raises(WrongUse, match="does not say"):
        form_of("graph.png")
