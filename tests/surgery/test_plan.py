"""A plan survives JSON, composes, and is refused when it is broken or for another network."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import networks
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import AttributeChange, Cut, GroupCut, Plan
from prunecli.surgery.planning import follow_plan, make_plan


@st.composite
def plans(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=8), max_size=4, unique=True))
    cuts = []
    for name in names:
        size = draw(st.integers(1, 20))
        removed = draw(st.sets(st.integers(0, size - 1)))
        cuts.append(Cut(name, draw(st.integers(0, 3)), size, tuple(sorted(removed))))
    widths = [(4, 2), (4, 4), ((4, 3), (2, 3))]
    changes = [AttributeChange(name, "width", *draw(st.sampled_from(widths))) for name in names]
    return Plan(tuple(cuts), tuple(changes), (GroupCut("g", 9, (0, 8)),))


@given(plans())
def test_a_plan_survives_json(plan):
    assert Plan.from_json(plan.to_json()) == plan


def test_equal_index_lists_are_stored_once():
    plan = Plan((Cut("a", 0, 4, (1, 2)), Cut("b", 1, 4, (1, 2))), (), (GroupCut("a", 4, (1, 2)),))
    assert plan.document()["index_sets"] == [[1, 2]]


def test_two_cuts_in_a_row_are_one_cut_in_the_first_coordinates():
    model = networks.randomised(networks.Residual())
    graph = build_graph(model, (3, 8, 8))
    first = make_plan(graph, {"stem": [1, 4], "inner": [0]}).plan
    smaller = carry_out(first, copy.deepcopy(model))
    second = make_plan(build_graph(smaller, (3, 8, 8)), {"stem": [1], "inner": [10]}).plan
    at_once = carry_out(first.then(second), copy.deepcopy(model))
    in_turn = carry_out(second, smaller)
    assert at_once.stem.weight.shape[0] == 5
    for name, tensor in in_turn.state_dict().items():
        assert torch.equal(tensor, at_once.state_dict()[name])
    assert next(c for c in first.then(second).cuts if c.tensor == "stem.bias").removed == (1, 2, 4)
    assert at_once.stem.out_channels == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "other/1"}, "schema"),
        ({"index_sets": [[3, 1]]}, "increasing"),
        ({"index_sets": [[-1]]}, "whole number"),
        ({"index_sets": [[9]]}, "has 4 positions"),
        ({"cuts": [{"tensor": "a"}]}, "KeyError"),
        ({"cuts": None}, "TypeError"),
        ({"attributes": [{"module": "m", "attribute": "a", "before": 1, "after": "os"}]}, "whole number"),
    ],
)
def test_a_broken_plan_is_refused_in_words(change, words):
    document = Plan((Cut("a", 0, 4, (1,)),), (), ()).document() | change
    with pytest.raises(InputRefused, match=words):
        Plan.from_json(json.dumps(document))


def test_text_that_is_no_json_is_refused():
    with pytest.raises(InputRefused, match="not a plan"):
        Plan.from_json("{")


@pytest.mark.parametrize(
    "plan",
    [
        Plan((Cut("nothing.weight", 0, 8, (1,)),)),
        Plan((Cut("stem.weight", 0, 9, (1,)),)),
        Plan((Cut("stem.weight", 7, 8, (1,)),)),
        Plan((), (AttributeChange("stem", "no_such", 1, 2),)),
        Plan((), (AttributeChange("stem", "forward", 1, 2),)),
        Plan((), (AttributeChange("nowhere", "groups", 1, 2),)),
    ],
)
def test_a_plan_for_another_network_is_refused_and_the_network_untouched(plan):
    model = networks.Residual()
    with pytest.raises(InputRefused):
        carry_out(plan, model)
    assert model.stem.weight.shape == (8, 3, 3, 3)


def test_a_saved_plan_must_come_to_the_same_cuts_here():
    model = networks.randomised(networks.Residual())
    graph = build_graph(model, (3, 8, 8))
    plan = make_plan(graph, {"stem": [1, 4]}).plan
    _, cut = follow_plan(graph, plan, copy.deepcopy(model))
    assert cut.stem.weight.shape[0] == 6
    for other in (
        Plan(plan.cuts[:1], plan.attributes, plan.groups),
        Plan((replace(plan.cuts[0], size=9), *plan.cuts[1:]), plan.attributes, plan.groups),
        Plan((replace(plan.cuts[0], tensor="trunk.weight"), *plan.cuts[1:]), plan.attributes),
    ):
        with pytest.raises(InputRefused):
            follow_plan(graph, other, copy.deepcopy(model))


@pytest.mark.parametrize(("before", "after"), [(4, 5), ((4, 4), (4, 5)), (4, (4,)), ((4,), (4, 4))])
def test_a_plan_that_lets_a_number_rise_is_refused(before, after):
    plan = Plan((), (AttributeChange("stem", "out_channels", before, after),))
    with pytest.raises(InputRefused, match="goes from"):
        Plan.from_json(plan.to_json())


def test_a_plan_that_lies_about_what_was_there_raises_nothing():
    model = networks.Residual()
    with pytest.raises(InputRefused, match=r"raises stem.out_channels from 8 to 9"):
        carry_out(Plan((), (AttributeChange("stem", "out_channels", 99, 9),)), model)
