"""The proof finds cuts that have the right shapes and the wrong channels."""

from __future__ import annotations

import copy

import networks
import pytest
import torch

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Cut, Plan
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify


def planned(network, removed):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    return model, graph, make_plan(graph, removed).plan


def test_a_wrong_index_in_one_reader_is_found():
    model, graph, plan = planned(networks.Plain, {"conv1": [1, 2]})
    cuts = [Cut(c.tensor, c.axis, c.size, (1, 3)) if c.tensor == "conv2.weight" else c for c in plan.cuts]
    wrong = carry_out(Plan(tuple(cuts), plan.attributes, plan.groups), copy.deepcopy(model))
    assert not verify(graph, model, wrong, {"conv1": [1, 2]}).equivalent


def test_a_wrong_index_in_a_statistic_of_batch_norm_is_found():
    model, graph, plan = planned(networks.Plain, {"conv1": [1, 2]})
    cuts = [Cut(c.tensor, c.axis, c.size, (0, 2)) if c.tensor == "bn1.running_mean" else c for c in plan.cuts]
    wrong = carry_out(Plan(tuple(cuts), plan.attributes, plan.groups), copy.deepcopy(model))
    assert not verify(graph, model, wrong, {"conv1": [1, 2]}).equivalent


def test_changed_weights_are_found_and_the_error_is_measured_against_the_output():
    model, graph, plan = planned(networks.Residual, {"inner": [0]})
    cut = carry_out(plan, copy.deepcopy(model))
    exact = verify(graph, model, cut, {"inner": [0]})
    assert exact.equivalent
    assert exact.max_rel_error < 1e-13
    with torch.no_grad():
        cut.head.linear.bias.add_(0.01)
    shifted = verify(graph, model, cut, {"inner": [0]})
    assert not shifted.equivalent
    assert shifted.max_abs_error == pytest.approx(0.01, rel=1e-6)


def test_norms_over_channels_are_taken_over_the_kept_ones():
    model, graph, plan = planned(networks.LayerNorm, {"stem": [0, 5]})
    cut = carry_out(plan, copy.deepcopy(model))
    assert verify(graph, model, cut, {"stem": [0, 5]}).equivalent
    cut.norm.eps = 0.5
    assert not verify(graph, model, cut, {"stem": [0, 5]}).equivalent


def test_a_network_that_amplifies_rounding_is_judged_by_what_rounding_does_to_it():
    model, graph, plan = planned(networks.Amplifying, {"conv1": [1, 2]})
    cut = carry_out(plan, copy.deepcopy(model))
    found = verify(graph, model, cut, {"conv1": [1, 2]})
    assert found.max_rel_error > 1e-9
    assert 1e-9 < found.tolerance <= 1e-6
    assert found.equivalent
    with torch.no_grad():
        cut.conv2.bias.add_(1e-4)
    assert not verify(graph, model, cut, {"conv1": [1, 2]}).equivalent


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_proof_passes_on_what_is_no_number(value):
    model, graph, plan = planned(networks.Plain, {"conv1": [1]})
    with torch.no_grad():
        model.head.linear.bias[0] = value
    cut = carry_out(plan, copy.deepcopy(model))
    with torch.no_grad():
        cut.conv2.weight.mul_(7)
    found = verify(graph, model, cut, {"conv1": [1]})
    assert not found.equivalent


def test_nothing_is_changed_by_the_proof():
    model, graph, plan = planned(networks.Plain, {"conv1": [1]})
    cut = carry_out(plan, copy.deepcopy(model))
    before = [tensor.clone() for m in (model, cut) for tensor in m.state_dict().values()]
    state = torch.get_rng_state()
    verify(graph, model, cut, {"conv1": [1]})
    after = [tensor for m in (model, cut) for tensor in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert not model.training
