"""Costs without channels, from shapes and labels: those of the network that is really cut."""

from __future__ import annotations

import networks
import pytest

from prunecli.cost.macs import measure
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.costs_left import bytes_left, macs_left, params_left
from prunecli.graph.meta import meta_copy
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan

SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    "network",
    networks.COUPLINGS,
    ids=lambda network: network.__name__,
)
def test_they_are_those_of_the_cut_network(network):
    model = network()
    graph = build_graph(model, SHAPE)
    assert _left(graph, {}) == _measured(model)
    planned = make_plan(graph, {group.name: range(group.channels // 2) for group in graph.prunable})
    removed = {group.name: group.removed for group in planned.plan.groups}
    assert removed
    cut = carry_out(planned.plan, meta_copy(model))
    assert _left(graph, removed) == _measured(cut)
    assert macs_left(graph, removed) < macs_left(graph, {})


def _left(graph, removed):
    return [left(graph, removed) for left in (macs_left, params_left, bytes_left)]


def _measured(model):
    found = measure(model, SHAPE)
    return [found.macs, found.params, found.bytes]


def test_one_channel_by_hand():
    graph = build_graph(networks.Plain(), SHAPE)  # 3 → 8 → 6 → 5, kernels of 3 × 3 on 8 × 8 positions
    whole = 64 * 9 * (3 * 8 + 8 * 6) + 6 * 5
    assert macs_left(graph, {}) == whole
    assert whole - macs_left(graph, {"conv1": (3,)}) == 64 * 9 * (3 + 6)
