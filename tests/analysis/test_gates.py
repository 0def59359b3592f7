"""Gates on agreement: what passes, what is missed, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.comparison import compare_scores
from prunecli.analysis.gates import Gate, check_gates, judge_gates, missed_gates
from prunecli.errors import WrongUse

UP = np.arange(1.0, 21.0)
SWAPPED = UP.copy()
SWAPPED[[9, 10]] = UP[[10, 9]]  # at 0.5 one of ten is another: 9 of 11; at 0.25 none


def comparison(ratios=(0.25, 0.5), **more):
    scores = {"conv": {"l1": UP, "l2": SWAPPED, "fpgm": -UP, **more}}
    return compare_scores(scores, criteria=list(scores["conv"]), ratios=list(ratios))


def judged(gate, **more):
    return judge_gates([gate], comparison(**more))


def test_the_highest_ratio_decides():
    (found,) = judged(Gate("jaccard", 0.9, ("l1", "l2")))
    assert not found.met
    assert found.line == "jaccard of l1 and l2 is 1.00 at 0.25, above 0.9"
    assert found.document() == {
        "metric": "jaccard",
        "limit": 0.9,
        "a": "l1",
        "b": "l2",
        "value": 1.0,
        "met": False,
        "ratio": 0.25,
    }


def test_a_limit_is_met_when_nothing_is_above_it():
    (found,) = judge_gates([Gate("jaccard", 9 / 11, ("l2", "l1"))], comparison(ratios=[0.5]))
    assert found.met
    assert found.value == 9 / 11
    assert missed_gates([found]) == ()


@pytest.mark.parametrize("metric", ["spearman", "kendall", "rbo"])
def test_every_metric_has_the_average_over_layers(metric):
    made = comparison()
    (found,) = judge_gates([Gate(metric, 0.5, ("l1", "l2"))], made)
    assert found.value == getattr(made.pairs[0].average, metric)
    assert found.ratio is None
    assert found.line == f"{metric} of l1 and l2 is {found.value:.2f}, above 0.5"
    (opposed,) = judge_gates([Gate(metric, 0.5, ("l1", "fpgm"))], made)
    assert opposed.met


def test_a_gate_without_criteria_is_on_every_pair_and_several_names_on_each_of_theirs():
    assert [(one.a, one.b) for one in judged(Gate("spearman", 0.5))] == [
        ("l1", "l2"),
        ("l1", "fpgm"),
        ("l2", "fpgm"),
    ]
    found = judged(Gate("spearman", 0.5, ("l1", "l2", "fpgm")), taylor=UP)
    assert len(found) == 3
    assert len(missed_gates(found)) == 1


def test_what_is_undefined_never_passes():
    flat, gone = judged(Gate("spearman", 1.0, ("l1", "flat", "gone")), flat=np.ones(20), gone=None)[:2]
    assert not flat.met
    assert flat.value is None
    assert flat.line == "spearman of l1 and flat is undefined, so that it cannot be said to be at most 1.0"
    assert not gone.met


def test_a_ratio_at_which_nothing_goes_is_undefined_unless_another_is_too_high():
    tiny = comparison(ratios=[0.5, 0.01])
    (found,) = judge_gates([Gate("jaccard", 0.95, ("l1", "l2"))], tiny)
    assert not found.met
    assert found.line.startswith("jaccard of l1 and l2 is undefined at 0.01, so that")
    (found,) = judge_gates([Gate("jaccard", 0.5, ("l1", "l2"))], tiny)
    assert found.line == "jaccard of l1 and l2 is 0.82 at 0.5, above 0.5"


def test_a_value_just_above_has_the_digits_that_show_it():
    up = np.arange(40.0)
    other = up.copy()
    other[[0, 39]] = up[[39, 0]]
    made = compare_scores({"conv": {"l1": up, "l2": other}}, criteria=["l1", "l2"], ratios=[0.5])
    (found,) = judge_gates([Gate("jaccard", 0.9, ("l1", "l2"))], made)
    assert found.line == "jaccard of l1 and l2 is 0.905 at 0.5, above 0.9"  # 19 of 21


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (Gate("jacard", 0.9), "unknown metric 'jacard'"),
        (Gate("jaccard", 0.9, ("l1", "l3")), "names 'l3', which is not compared"),
        (Gate("jaccard", 0.9, ("l1",)), "needs two criteria"),
        (Gate("jaccard", 0.9, ("l1", "l1")), "needs two criteria"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(gate, says):
    with pytest.raises(WrongUse, match=says):
        check_gates([gate], ["l1", "l2"])
    with pytest.raises(WrongUse, match=says):
        judged(gate)


def test_one_criterion_alone_leaves_an_open_gate_nothing_to_judge():
    with pytest.raises(WrongUse, match="needs two criteria"):
        check_gates([Gate("spearman", 0.9)], ["l1"])
