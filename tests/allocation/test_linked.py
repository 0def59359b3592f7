"""Groups that follow others lose as many as fit them, whatever the scope; no plan has to leave them out."""

from __future__ import annotations

import copy

import networks
import numpy as np
import pytest
from attention_networks import Encoder, WidthOverHeads
from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import allocate
from prunecli.allocation.goals import Goal
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

SHAPE = (3, 8, 8)
GRAPH = build_graph(Encoder(32, heads=(8, 16)), SHAPE)  # a step: 4 of the stream, 1 head and 2 heads


def scores_of(graph, seed=0):
    generator = np.random.default_rng(seed)
    return {group.name: generator.exponential(size=group.channels) for group in graph.prunable}


def counts(graph=GRAPH, **wanted):
    found = allocate(graph, scores_of(graph), **wanted)
    return [len(found.removed.get(name, ())) for name in ("embed", "attention.0", "attention.1")], found


@pytest.mark.parametrize(
    ("ratio", "bounds", "leave"),
    [
        (0.5, Bounds(), [16, 4, 8]),
        (0.3, Bounds(), [8, 2, 4]),  # 9 of 32 would leave, and 4 leave at a time
        (0.5, Bounds(round_to=16), [16, 4, 8]),
        (0.3, Bounds(round_to=16), [0, 0, 0]),
        (0.9, Bounds(min_channels=6), [8, 2, 4]),  # six of eight heads stay
    ],
)
def test_so_many_leave(ratio, bounds, leave):
    assert counts(ratio=ratio, bounds=bounds)[0] == leave


def test_the_lowest_of_each_group_leave():
    scores = scores_of(GRAPH)
    removed = counts(ratio=0.5)[1].removed
    for name in ("embed", "attention.0", "attention.1"):
        lowest = np.argsort(scores[name])[: len(removed[name])]
        assert removed[name] == tuple(sorted(lowest.tolist()))


@pytest.mark.parametrize("protect", ["embed", "attention.1"])
def test_one_that_stays_holds_the_others(protect):
    found = counts(ratio=0.5, bounds=Bounds(protect=(protect,)))
    assert found[0] == [0, 0, 0]
    assert found[1].protected["attention.0"] == f"must fit {protect}, which stays whole"
    assert found[1].removed.keys() == {"mlp.0.0", "mlp.1.0"}


def test_what_follows_is_said():
    rules = counts(ratio=0.5)[1].rules
    assert rules["attention.1"] == "loses 2 for each 4 channels of embed"


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@pytest.mark.parametrize("share", [0.7, 0.4, 0.2])
def test_a_goal_counts_what_follows_and_is_met_by_a_plan_that_runs(scope, share):
    graph = build_graph(Encoder(64, heads=(8, 8)), SHAPE)
    whole = macs_left(graph, {})
    goal = Goal(before=whole, limit=share * whole, left=macs_left)
    found = allocate(graph, scores_of(graph), goal=goal, scope=scope)
    assert goal.is_met(macs_left(graph, found.removed))
    planned = make_plan(graph, found.removed)
    assert not planned.protected
    assert planned.plan.removed == found.removed


@pytest.mark.parametrize(
    "network",
    [
        lambda: Encoder(32, heads=(8, 16)),
        lambda: Encoder(32, heads=(2,)),
        lambda: Encoder(32, heads=(4, 8)),
        WidthOverHeads,
    ],
)
@pytest.mark.parametrize("ratio", [0.3, 0.6])
def test_the_cut_network_is_the_masked_original(network, ratio):
    model = networks.randomised(network())
    graph = build_graph(model, SHAPE)
    allocation = allocate(graph, scores_of(graph), ratio=ratio)
    planned = make_plan(graph, allocation.removed)
    assert not planned.protected
    assert "embed" in allocation.removed
    cut = carry_out(planned.plan, copy.deepcopy(model))
    assert verify(graph, model, cut, planned.plan.removed, scalings=planned.plan.scalings).equivalent
    assert all(
        each.head_dim * each.num_heads == each.embed_dim
        for each in cut.modules()
        if isinstance(each, nn.MultiheadAttention)
    )
