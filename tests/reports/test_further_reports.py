"""The reports of inspect, sensitivity and bench, and the channel graph in those of prune and score."""

from __future__ import annotations

import pytest
from reports.documents import COMMAND, FACTS, HOSTILE, benched, inspected, pruned, scored, sensitive

from prunecli.reports.building import PARTS, build_report
from prunecli.reports.channel_graph import OPEN_GROUPS
from prunecli.reports.html import render
from prunecli.reports.latency import latency_bars
from prunecli.reports.markdown import render as as_markdown
from prunecli.reports.sections import Fold
from prunecli.reports.sensitivity import COLOURED, curves_picture, most_sensitive, sensitivity_picture

DOCUMENTS = {"inspect": inspected, "sensitivity": sensitive, "bench": benched}


def report_of(document):
    return build_report(document, command=COMMAND, facts=FACTS)


def lines_of(document):
    return as_markdown(report_of(document)).splitlines()


def section_of(document, anchor):
    return next((each for each in report_of(document).sections if each.anchor == anchor), None)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_section_is_there_and_names_are_escaped(kind):
    document = DOCUMENTS[kind]()
    assert [each.anchor for each in report_of(document).sections] == [part.anchor for part in PARTS[kind]]
    page = render(report_of(document))
    assert HOSTILE not in page
    assert page == render(report_of(document))


def test_inspect_says_what_stays_and_which_widths_are_slow():
    lines = lines_of(inspected())
    assert "| MACs | 56,789 | 57,000 |" in lines
    assert "| an output of the network | 1 | 10 | linear |" in lines
    slow = (
        "- Multiples of 16 channels are what most machines like. 1 layers have another width: layer1.conv1."
    )
    assert slow.replace("1 layers have", "1 layer has") in lines
    fine = inspected(widths={"multiple": 8, "measured": True, "slow": []})
    assert "- Multiples of 8 channels are what this machine likes. All have such widths." in lines_of(fine)


@pytest.mark.parametrize("document", [inspected(), pruned(), scored()])
def test_groups_are_boxes_that_tell_what_couples_them(document):
    boxes = [block for block in section_of(document, "graph").blocks if isinstance(block, Fold)]
    assert boxes[1].title == "layer1.conv1: 8 channels may leave"
    rows = [dict(box.blocks[0].rows) for box in boxes]
    assert rows[0]["coupled by"] == "1 sum in layer1"
    assert rows[0]["follow"] == "bn1"
    assert rows[1]["made by"] == "layer1.conv1"
    assert rows[2]["stays"] == "an output of the network"


def test_many_groups_are_behind_one_fold():
    group = inspected()["groups"][1]
    groups = [{**group, "name": f"layer{number}"} for number in range(OPEN_GROUPS + 1)]
    [fold] = [
        block for block in section_of(inspected(groups=groups), "graph").blocks if isinstance(block, Fold)
    ]
    assert len(fold.blocks) == OPEN_GROUPS + 1


@pytest.mark.parametrize("document", [pruned(graph=None), scored(graph=None), inspected(flow=[])])
def test_without_a_graph_there_is_no_section(document):
    assert section_of(document, "graph") is None


def test_the_most_sensitive_group_comes_first():
    assert [group["name"] for group in most_sensitive(sensitive())] == [HOSTILE, "layer1.conv1"]
    lines = lines_of(sensitive())
    assert any(
        "costs the most: without 50 % of its channels accuracy is 52.50 %, 45.00" in line for line in lines
    )
    assert "| layer1.conv1 | 16 | 0.500 | 7.50 |" in lines
    assert "| tiny | it has too few channels |" in lines


def test_curves_begin_with_the_whole_network_and_few_have_a_colour():
    group = sensitive()["groups"][0]
    many = sensitive(groups=[{**group, "name": f"layer{number}"} for number in range(COLOURED + 4)])
    [axis] = curves_picture(many, key="accuracy").axes
    lines = axis.get_lines()
    assert len(lines) == COLOURED + 4
    assert list(lines[0].get_xdata()) == [0.0, 50.0, 100.0]
    assert list(lines[0].get_ydata()) == [97.5, 97.0, 90.0]
    assert len(axis.get_legend().get_texts()) == COLOURED


def test_the_picture_has_curves_and_a_heatmap():
    curves, heatmap = sensitivity_picture(sensitive()).axes
    assert curves.get_title() == "Accuracy, %"
    assert {text.get_text() for text in heatmap.texts} == {"0.5", "7.5", "45.0", "87.5"}


def test_nothing_measured_has_neither():
    none = sensitive(groups=[sensitive()["groups"][2]])
    assert section_of(none, "curves") is None
    assert section_of(none, "heatmap") is None


def test_latency_stands_beside_what_macs_promise():
    lines = lines_of(benched())
    [sentence] = [
        line for line in lines if line.startswith("- small.pt is 1.60 times") and "batch 1)" in line
    ]
    assert sentence.endswith("(eager, threads 2, batch 1); by MACs it would be 2.00 times.")
    assert "| small.pt | eager | 2 | 16 | 1.60 | 1.50 … 1.75 | 2 | 0.800 |" in lines
    [axis] = latency_bars(benched()).axes
    assert [bar.get_width() for bar in axis.patches] == [4.0, 2.5, 64.0, 40.0]


def test_one_network_has_no_speed_up():
    run = {**benched()["runs"][0], "ratios": []}
    alone = benched(runs=[run])
    assert section_of(alone, "ratios") is None
    assert section_of(alone, "remarks") is None
