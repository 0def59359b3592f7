"""The report of a pruning: before and after, the target, which channels stayed, the proof."""

from __future__ import annotations

import json

import pytest
from reports.documents import COMMAND, FACTS, pruned

from prunecli.reports.building import PARTS, build_report
from prunecli.reports.markdown import render as as_markdown
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune


def report_of(**changed):
    return build_report(pruned(**changed), command=COMMAND, facts=FACTS)


def lines_of(**changed):
    return as_markdown(report_of(**changed)).splitlines()


def words_of(**changed):
    [section] = [section for section in report_of(**changed).sections if section.anchor == "remarks"]
    return section.blocks[0].lines


def test_every_section_is_there():
    assert [section.anchor for section in report_of().sections] == [part.anchor for part in PARTS["prune"]]


@pytest.mark.parametrize(
    ("key", "anchor"),
    [("target", "target"), ("history", "course"), ("output", "loading"), ("verification", "verification")],
)
def test_a_section_is_there_only_when_its_key_is(key, anchor):
    found = {section.anchor for section in report_of(**{key: None}).sections}
    assert {part.anchor for part in PARTS["prune"]} - found == {anchor}


def test_the_words_say_what_came_of_it():
    assert words_of() == [
        "50.2 % of the MACs and 60.0 % of the parameters are gone.",
        "The theoretical speed-up, by MACs, is 2.01x.",
        "Accuracy went from 97.50 % to 95.00 %: 2.50 points lost.",
        "The cut was proved before anything was written.",
        "1 layer keeps a width that is no multiple of 16: expect less than the MACs promise.",
    ]
    assert len(words_of(accuracy=None, widths=None, verification=None)) == 2


def test_costs_and_accuracies_stand_below_each_other():
    lines = lines_of()
    assert "| MACs | 800 | 398 | 50.2 |" in lines
    assert "| as it came | 97.5 |" in lines
    assert "| right after the cut | 20 |" in lines
    assert "| as it leaves | 95 |" in lines


def test_a_target_says_whether_it_is_met():
    missed = {**pruned()["target"], "met": False}
    assert "| target | met |" in lines_of()
    assert "| target | not met |" in lines_of(target=missed)
    searched = {**missed, "asked": "max-drop=2", "tried": [{"macs": 0.5, "accuracy": 92.5}]}
    assert "| 0.500 | 92.5 |" in lines_of(target=searched)
    assert "| target | not met |" not in lines_of(target=searched)


def test_channels_what_kept_them_and_the_bites():
    lines = lines_of()
    assert "| linear | Linear | 10 | 10 | 0 |" in lines
    assert "| linear | an output of the network |" in lines
    assert "| 2 | 50 | 2 |" in lines


def test_the_command_writes_a_report_and_a_picture(tmp_path):
    report, plot = tmp_path / "report.json", tmp_path / "kept.svg"
    keep = Keepsakes(report=str(report), plot=str(plot), command="prunecli prune --ratio 0.5")
    result = prune(Opening(), ratio=0.5, keep=keep)
    written = json.loads(report.read_text())
    assert written["after"]["macs"] == result.document()["after"]["macs"]
    assert "layer3.0.conv2" in plot.read_text()
