"""Gates in documents: what each reads, when it is met, and what cannot be answered."""

from __future__ import annotations

import math

import pytest
from gates.printed import bench, printed

from prunecli.errors import InputRefused, WrongUse
from prunecli.gates.judging import check_asked, judge, missed
from prunecli.gates.table import GATES


def only(asked, *reports, baseline=None):
    (found,) = judge(asked, reports, baseline=baseline)
    return found


@pytest.mark.parametrize(
    ("command", "gate", "found"),
    [
        ("prune", "max-drop", 7.25),
        ("prune", "min-accuracy", 90.25),
        ("prune", "min-macs-cut", 0.75),
        ("prune", "min-params-cut", 0.75),
        ("prune", "min-size-cut", 0.75),
        ("prune", "max-macs", 1000),
        ("prune", "max-params", 250),
        ("prune", "max-size", 1300),
        ("prune", "max-error", 2e-16),
        ("prune", "require-equivalent", True),
        ("prune", "require-target", False),
        ("finetune", "max-drop", -5.0),
        ("finetune", "min-accuracy", 95.0),
        ("finetune", "max-loss", 0.25),
        ("finetune", "max-size", 1300),
        ("evaluate", "min-accuracy", 96.0),
        ("evaluate", "max-loss", 0.125),
        ("export", "max-size", 1500),
        ("export", "max-error", 1e-6),
        ("export", "min-agreement", 0.95),
        ("export", "require-equivalent", True),
        ("inspect", "max-macs", 4000),
        ("inspect", "max-params", 1000),
        ("inspect", "max-size", 4600),
        ("diff", "min-macs-cut", 0.75),
        ("diff", "min-params-cut", 0.75),
        ("diff", "min-size-cut", 0.75),
        ("diff", "max-macs", 1000),
        ("diff", "max-params", 250),
        ("diff", "max-size", 1100),
        ("diff", "require-identical", False),
        ("sweep", "max-drop", 3.0),
        ("sweep", "min-accuracy", 94.5),
        ("sweep", "min-macs-cut", 0.25),
        ("sweep", "min-params-cut", 0.1),
        ("sweep", "max-macs", 3000),
        ("sweep", "max-params", 900),
        ("sweep", "max-size", 4000),
        ("bench", "min-macs-cut", 0.5),
        ("bench", "min-params-cut", 0.0),
        ("bench", "max-macs", 2000),
        ("bench", "max-params", 1000),
        ("bench", "max-latency", 1e-3),
        ("bench", "max-latency-ratio", 1 / 2.02),
        ("bench", "min-speedup", 2.02),
        ("bench", "max-memory", 10),
    ],
)
def test_each_gate_reads_its_figure(command, gate, found):
    assert only({gate: 1.0}, printed(command)).found == pytest.approx(found)


def test_every_place_for_a_gate_is_tried_above():
    rows = test_each_gate_reads_its_figure.pytestmark[0].args[1]
    places = {
        (command, gate.name)
        for gate in GATES.values()
        for command in gate.figure.after
        if gate.answered_by(command, with_baseline=False)
    }
    assert {(command, gate) for command, gate, _ in rows} == places


@pytest.mark.parametrize(
    ("gate", "limit", "met"),
    [
        ("max-drop", 7.25, True),
        ("max-drop", 7.25 + 1e-12, True),
        ("max-drop", 7.24, False),
        ("min-accuracy", 90.25, True),
        ("min-accuracy", 90.26, False),
        ("min-macs-cut", 0.75, True),
        ("min-macs-cut", 0.76, False),
        ("max-error", 0.0, False),
        ("require-equivalent", True, True),
        ("require-target", True, False),
    ],
)
def test_a_gate_is_met_at_its_limit(gate, limit, met):
    assert only({gate: limit}, printed("prune")).met is met


def test_a_rounding_error_of_the_subtraction_misses_no_gate():
    report = printed("prune", accuracy={"before": 90.0, "after": 89.8})
    assert 90.0 - 89.8 > 0.2
    assert only({"max-drop": 0.2}, report).met


def test_without_a_written_file_the_weights_are_the_size():
    assert only({"max-size": 1}, printed("prune", output=None)).found == 1100


def test_the_worst_network_in_the_worst_setting_is_judged():
    report = printed("bench", **bench(3.0, 1.0, 2.0, backends=("eager", "compile")))
    found = only({"max-latency": 1.5e-3}, report)
    assert (found.found, found.met) == (2e-3, False)
    assert found.where == "2.pt, eager, threads 2, batch 1"
    assert only({"min-speedup": 1.2}, report).found == pytest.approx(1.515)
    assert found.line == (
        "a batch takes 2.000 ms, more than 1.5 ms (bench.json: 2.pt, eager, threads 2, batch 1)"
    )


def test_a_gate_is_judged_in_every_report_with_a_place_for_it():
    found = judge({"max-size": 1400, "max-drop": 8}, [printed("prune"), printed("export")])
    assert [(each.gate, each.file, each.met) for each in found] == [
        ("max-size", "prune.json", True),
        ("max-size", "export.json", False),
        ("max-drop", "prune.json", True),
    ]
    assert [each.line for each in missed(found)] == [
        "the network takes 1,500 bytes, more than 1,400 bytes (export.json)"
    ]


@pytest.mark.parametrize(
    ("gate", "report", "baseline", "found"),
    [
        ("max-drop", "finetune", "evaluate", 1.0),
        ("max-drop", "evaluate", "prune", -5.75),
        ("min-macs-cut", "prune", "inspect", 0.75),
        ("min-macs-cut", "inspect", "prune", -3.0),
        ("min-size-cut", "export", "inspect", 1 - 1500 / 4600),
        ("max-macs", "prune", "inspect", 1000),
    ],
)
def test_a_change_counts_from_the_network_of_the_baseline(gate, report, baseline, found):
    assert only({gate: 0.5}, printed(report), baseline=printed(baseline)).found == pytest.approx(found)


def test_latencies_are_compared_setting_by_setting_with_the_baseline():
    earlier = printed("bench", **bench(2.0, 2.0, backends=("eager", "compile")))
    now = printed("bench", **bench(2.0, 1.0))
    assert only({"min-speedup": 1}, now, baseline=earlier).found == 2.0
    assert only({"max-latency-ratio": 1}, now, baseline=earlier).found == 0.5
    with pytest.raises(InputRefused, match=r"bench.json says nothing of 1.pt, compile, threads 2, batch 1"):
        only({"min-speedup": 1}, earlier, baseline=now)


@pytest.mark.parametrize(
    ("asked", "commands", "baseline", "says", "hint"),
    [
        (
            "min-speedup",
            ["prune"],
            None,
            "a report of prune says nothing of a latency",
            "reports that do: bench",
        ),
        ("max-drop", ["evaluate"], None, "needs something to count from", "--baseline FILE"),
        ("max-drop", ["compare"], None, "says nothing of an accuracy", "--fail-above"),
        ("max-drop", ["prune", "inspect"], None, "answers none of the gates", "--max-macs, --max-params"),
        ("max-drop", ["evaluate"], "inspect", "cannot count from inspect.json", "prune, finetune, evaluate"),
    ],
)
def test_what_no_report_has_a_place_for_is_wrong_use(asked, commands, baseline, says, hint):
    reports = [printed(each) for each in commands]
    with pytest.raises(WrongUse, match=says) as refused:
        judge({asked: 1}, reports, baseline=None if baseline is None else printed(baseline))
    assert hint in " ".join(refused.value.hints)


@pytest.mark.parametrize(
    ("gate", "command", "changed", "says"),
    [
        ("max-drop", "prune", {"accuracy": None}, "no number in accuracy.before"),
        (
            "min-accuracy",
            "prune",
            {"accuracy": {"before": 1.0, "after": None}},
            "no number in accuracy.after",
        ),
        ("min-accuracy", "evaluate", {"accuracy": "97"}, "no number in accuracy"),
        ("min-accuracy", "evaluate", {"accuracy": True}, "no number in accuracy"),
        ("min-accuracy", "evaluate", {"accuracy": math.inf}, "no number in accuracy"),
        ("max-macs", "inspect", {"macs": 10**400}, "no number in macs"),
        ("require-target", "prune", {"target": None}, "no truth value in target.met"),
        (
            "require-equivalent",
            "prune",
            {"verification": {"equivalent": 1}},
            "no truth value in verification",
        ),
        ("min-macs-cut", "diff", {"a": {"macs": 0}}, "a share of 0 is not defined"),
        ("min-speedup", "bench", bench(2.0), "no number in ratios"),
        ("min-macs-cut", "bench", bench(2.0), "no number in ratios"),
        ("max-latency", "bench", {"runs": [{"models": []}]}, "no number in models"),
        ("max-latency", "bench", {"runs": [{"models": ["m.pt"]}]}, "no number in models"),
    ],
)
def test_a_gate_passes_only_what_was_measured(gate, command, changed, says):
    with pytest.raises(InputRefused, match=says):
        judge({gate: 1}, [printed(command, **changed)])


@pytest.mark.parametrize(
    ("asked", "baseline", "says"),
    [
        ({}, None, "check needs a gate"),
        ({"max-drpo": 1.0}, None, "unknown gate 'max-drpo'"),
        ({"max-drop": math.nan}, None, "takes a finite number"),
        ({"max-macs": 1.0}, "b.json", "no gate on a change"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_file_is_read(asked, baseline, says):
    with pytest.raises(WrongUse, match=says):
        check_asked(asked, baseline=baseline)
    check_asked({"max-drop": 1.0, "max-macs": 10}, baseline="b.json")


def test_a_finding_as_json_keeps_numbers_and_truth_values():
    flag = only({"require-target": 1}, printed("prune")).document()
    assert (flag["asked"], flag["found"], flag["met"], flag["unit"]) == (True, False, False, "flag")
    size = only({"max-size": 2e6}, printed("export")).document()
    assert size == {
        **{"gate": "max-size", "asked": 2e6, "found": 1500, "met": True},
        **{"file": "export.json", "unit": "bytes", "where": None},
    }
