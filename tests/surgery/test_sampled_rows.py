"""Sampled rows show a cut at the wrong place, in the weights, the plan or the groups of a convolution."""

from __future__ import annotations

import copy

import networks
import numpy as np
import pytest
import torch

from prunecli.errors import WorkFailed
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery import sampled_rows
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.sampled_rows import ROWS, Side, prove_rows


def side(state):
    return Side(
        lambda name: tuple(state[name].shape),
        lambda name, rows: state[name].index_select(0, torch.from_numpy(rows)).double(),
    )


def cut_in_half(network):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    planned = make_plan(graph, {g.name: range(0, g.channels, 2) for g in graph.prunable})
    cut = carry_out(planned.plan, copy.deepcopy(model))
    return graph, model.state_dict(), cut.state_dict(), {g.name: g.removed for g in planned.plan.groups}


def proof(network, change=lambda state: None):
    graph, whole, cut, removed = cut_in_half(network)
    change(cut)
    return prove_rows(graph, side(whole), side(cut), removed, where="of the test")


@pytest.mark.parametrize(
    "network",
    [
        networks.Residual,
        networks.Grouped,
        networks.DepthwiseMultiplier,
        networks.GroupedTransposed,
        networks.FlattenLinear,
        networks.BareParameters,
        networks.FusedAttention,
        networks.GroupNorm,
    ],
)
def test_a_right_cut_is_proved(network):
    found = proof(network)
    assert found.equivalent
    assert found.max_rel_error < 1e-13
    assert f"up to {ROWS} rows of the test" in found.method


def test_the_method_counts_what_was_compared():
    graph, whole, cut, removed = cut_in_half(networks.Plain)
    lost = [name for name in whole if whole[name].shape != cut[name].shape]
    found = prove_rows(graph, side(whole), side(cut), removed, where="of the test")
    assert found.method.startswith(f"{len(removed)} channel groups on sampled rows: of each of {len(lost)} ")


def exchanged(name, axis):
    def change(state):
        order = torch.arange(state[name].shape[axis]).flip(0)
        state[name] = state[name].index_select(axis, order)

    return change


@pytest.mark.parametrize(
    ("network", "change"),
    [
        (networks.Plain, exchanged("conv2.weight", 0)),
        (networks.Plain, exchanged("conv2.weight", 1)),
        (networks.Plain, exchanged("bn1.running_mean", 0)),
        (networks.Plain, exchanged("conv2.bias", 0)),
        (networks.FlattenLinear, exchanged("linear1.weight", 1)),
        (networks.Grouped, exchanged("grouped.weight", 0)),
    ],
)
def test_channels_in_another_order_are_found(network, change):
    with pytest.raises(WorkFailed, match="differs by"):
        proof(network, change)


def test_another_shape_is_found():
    def shorter(state):
        state["conv2.weight"] = state["conv2.weight"][1:]

    with pytest.raises(WorkFailed, match="was foreseen"):
        proof(networks.Plain, shorter)


def test_what_is_no_number_is_found():
    def broken(state):
        state["conv1.weight"][0, 0, 0, 0] = torch.nan

    with pytest.raises(WorkFailed, match="inf"):
        proof(networks.Plain, broken)


def test_a_grouped_convolution_that_reads_other_channels_is_found(monkeypatch):
    read = sampled_rows._grouped_reads
    assert read(cut_in_half(networks.Grouped)[0]).keys() == {"grouped.weight"}
    monkeypatch.setattr(
        sampled_rows,
        "_grouped_reads",
        lambda graph: {n: np.roll(a, 1, axis=0) for n, a in read(graph).items()},
    )
    with pytest.raises(WorkFailed, match=r"grouped\.weight"):
        proof(networks.Grouped)
