"""The picture and the report of a sweep."""

from __future__ import annotations

import pytest

from prunecli.reports.building import build_report
from prunecli.reports.front import counted, front_picture
from prunecli.reports.markdown import render
from prunecli.reports.pictures import encoded


def trial(number, accuracy, macs, *, state="complete", **values):
    return {
        "number": number,
        "state": state,
        "values": {"ratio": 0.5, "criterion": "l2", "strategy": "one-shot", "scope": "local", **values},
        "seeds": 3,
        "accuracy": {"validation": accuracy, "spread": 0.5},
        "macs": macs,
        "params": 10,
        "epochs": 10,
        "seconds": 3.0,
        "stopped": {"layer": "comparison", "reason": "behind", "seconds_saved": 2.0}
        if state == "stopped"
        else None,
        "failed": "broken" if state == "failed" else None,
        "command": f"prunecli prune {number}",
    }


TRIALS = [
    trial(0, 98.0, 500, criterion="l1"),
    trial(1, 97.0, 300, criterion="l2$x"),
    trial(2, 97.0, 300, criterion="l1"),
    trial(3, 95.0, 600, strategy="ghfp"),
    trial(4, 60.0, 550, state="stopped"),
    trial(5, None, None, state="failed"),
]
DOCUMENT = {
    "schema": "prunecli.sweep/1",
    "checkpoint": {"path": "m.safetensors", "sha256": "ab" * 32, "architecture": "digits/resnet8"},
    "data": "digits",
    "study": {"name": "sweep-1", "storage": "s.journal", "sampler": "grid"},
    "space": {"ratios": {"from": 0.2, "to": 0.8, "step": 0.01}, "criteria": ["l1", "l2"]},
    "limit": 6,
    "seeds": 3,
    "epochs": 10,
    "max_drop": 1.5,
    "dense": {"accuracy": 99.0, "macs": 1000, "params": 20},
    "trials": TRIALS,
    "front": [1, 2, 0],
    "best": 0,
    "saved": {"seconds": 2.0, "trials": 1, "layers": {"comparison": 1, "semantic": 0, "threshold": 0}},
    "seconds": 18.0,
    "chosen": {"number": 0, "accuracy": {"before": 97.5, "test": 96.0}, "macs": 500, "params": 10},
    "output": {"path": "best.safetensors"},
}


def axis(document):
    (found,) = front_picture(document).axes
    return found


def test_every_trial_with_figures_has_a_mark_at_its_place():
    lines = [line for line in axis(DOCUMENT).lines if line.get_linestyle() == "None"]
    points = [tuple(zip(*line.get_data(), strict=True)) for line in lines]
    marks = [each[0] for each in points if each]
    for place in ((50.0, 98.0), (30.0, 97.0), (60.0, 95.0), (55.0, 60.0), (100.0, 99.0)):
        assert place in marks


def test_the_front_goes_in_steps_and_is_numbered_once_a_point():
    found = axis(DOCUMENT)
    (steps,) = [line for line in found.lines if line.get_label() == "front"]
    assert list(zip(*steps.get_data(), strict=True)) == [(30.0, 97.0), (30.0, 97.0), (50.0, 98.0)]
    assert steps.get_drawstyle() == "steps-post"
    assert {text.get_text() for text in found.texts} == {"0", "1, 2", "1 stopped early lies lower"}


def test_the_legend_tells_colours_and_shapes_and_the_best():
    labels = [text.get_text() for text in axis(DOCUMENT).get_legend().get_texts()]
    assert {"front", "l1", "l2$x", "ghfp", "one-shot", "best: trial 0", "before pruning"} <= set(labels)
    assert "least accuracy wanted" in labels


def test_what_was_stopped_low_does_not_flatten_the_rest():
    low, high = axis(DOCUMENT).get_ylim()
    assert 94 < low < 95
    assert 99 < high < 100


@pytest.mark.parametrize("trials", [[], [trial(0, 50.0, 500, state="stopped")], [trial(0, 98.0, 500)]])
def test_few_trials_are_drawn_too(trials):
    front = [0] if trials and trials[0]["state"] == "complete" else []
    document = {**DOCUMENT, "trials": trials, "front": front, "best": front[0] if front else None}
    assert encoded(front_picture(document), "svg").startswith(b"<?xml")


def test_more_criteria_than_colours_are_drawn():
    many = [trial(number, 90.0 + number, 100 + number, criterion=f"c{number}") for number in range(12)]
    document = {**DOCUMENT, "trials": many, "front": [0], "best": 11}
    assert len(axis(document).lines) > 12


def test_the_same_document_gives_the_same_bytes():
    assert encoded(front_picture(DOCUMENT), "png") == encoded(front_picture(DOCUMENT), "png")


def test_it_is_said_in_words():
    assert counted(DOCUMENT) == [
        "4 of 6 trials were run to their end.",
        "1 stopped: behind others that cost no more.",
        "1 broke down.",
        "Stopping early saved 2 of 20 seconds (10 %).",
    ]


def test_the_report_has_the_front_every_trial_and_the_commands():
    text = render(build_report(DOCUMENT, command="prunecli sweep", facts={"torch": "2"}))
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "What was asked",
        "In words",
        "Accuracy against MACs",
        "The network that was written",
        "Trials",
        "Environment",
        "To repeat it",
    ]
    assert "prunecli prune 1\nprunecli prune 2\nprunecli prune 0" in text
    assert "stopped: behind" in text
    assert "failed: broken" in text
    assert "accuracy on the test part, % | 96" in text


def test_a_sweep_without_a_front_has_a_report_too():
    document = {**DOCUMENT, "trials": [], "front": [], "best": None, "chosen": None, "output": None}
    document["saved"] = {"seconds": 0.0, "trials": 0, "layers": {}}
    titles = render(build_report(document, command="", facts={}))
    assert "0 of 0 trials were run to their end." in titles
