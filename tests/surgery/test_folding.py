"""Attention that divides by the root of its width keeps its function: the scale goes into weights."""

from __future__ import annotations

import copy
import math

import networks
import pytest
import torch
from attention_networks import SeparateAttention
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from prunecli.errors import InputRefused, WorkFailed
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Cut, Plan, Scaling
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

SHAPE = (3, 8, 8)
FACTOR = math.sqrt(12 / 16)  # 1/√16 was divided by, 1/√12 is: the query makes up for it


class Wide(SeparateAttention):
    """Two heads of sixteen: columns leave, not heads."""

    heads = 2

    def __init__(self):
        self.width = 16
        super().__init__()


class Negated(Wide):
    """Twice the query, with another sign: still proportional to its weights."""

    def attend(self, q, k, v):
        return super().attend(-q - q, k, v)


class NormedQuery(Wide):
    """The query comes out of a norm of its own, whose scale and shift take the factor."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(16)

    def attend(self, q, k, v):
        return super().attend(self.norm(q), k, v)


class RectifiedQuery(Wide):
    def attend(self, q, k, v):
        return super().attend(torch.relu(q) + 1, k, v)


class QueryUsedElsewhere(Wide):
    """What attention multiplies is also added to what it gives."""

    def attend(self, q, k, v):
        return super().attend(q, k, v) + q


class Unsaid(Wide):
    def attend(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)


class RectifiedBoth(Wide):
    def attend(self, q, k, v):
        return super().attend(torch.relu(q) + 1, torch.relu(k) + 1, v)


class BothUsedElsewhere(Wide):
    def attend(self, q, k, v):
        return super().attend(q, k, v) + q + k


class ProductUsedElsewhere(Wide):
    """The products are also used as they are."""

    def attend(self, q, k, v):
        product = q @ k.transpose(-2, -1)
        return (product / self.width**0.5).softmax(-1) @ v + product.mean() * v


class Fused(networks.ScaledByWidth):
    """Query, key and value in one weight."""

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * self.width**-0.5) @ k.transpose(-2, -1)).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(n, tokens, -1))
        return self.linear(x.mean(1))


class ScaledQuery(Wide):
    """The query itself is divided before it meets the keys."""

    def attend(self, q, k, v):
        return ((q / self.width**0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def plan_of(network, removed):
    model = networks.randomised(network())
    graph = build_graph(model, SHAPE)
    planned = make_plan(graph, removed)
    return model, graph, planned, carry_out(planned.plan, copy.deepcopy(model))


def widths(network):
    return [group.name for group in build_graph(network(), SHAPE).prunable]


REMOVED = [0, 3, 7, 12]


@pytest.mark.parametrize(
    ("network", "removed", "scaled"),
    [
        (Wide, {"query#2": REMOVED, "value": [1, 2, 4, 5]}, {"query.weight": 32, "query.bias": 32}),
        (ScaledQuery, {"query#2": REMOVED, "value": REMOVED}, {"query.weight": 32, "query.bias": 32}),
        (Negated, {"query#2": REMOVED, "value": REMOVED}, {"query.weight": 32, "query.bias": 32}),
        (NormedQuery, {"query#2": REMOVED, "value": REMOVED}, {"norm.weight": 16, "norm.bias": 16}),
        # the keys take it
        (RectifiedQuery, {"query#2": REMOVED, "value": REMOVED}, {"key.weight": 32, "key.bias": 32}),
        (QueryUsedElsewhere, {"query#2": REMOVED}, {"key.weight": 32, "key.bias": 32}),
        # rows of the first third
        (networks.ScaledByWidth, {"qkv#2": REMOVED}, {"qkv.weight": 32, "qkv.bias": 32}),
        (Fused, {"qkv#2": REMOVED}, {"qkv.weight": 32, "qkv.bias": 32}),
    ],
)
def test_the_scale_is_kept_by_weights_and_the_plan_says_so(network, removed, scaled):
    model, graph, planned, small = plan_of(network, removed)
    assert planned.protected == {}
    assert small.width == 12
    assert {each.tensor: each.rows for each in planned.plan.scalings} == {
        name: tuple(range(rows)) for name, rows in scaled.items()
    }
    assert {each.axis for each in planned.plan.scalings} == {0}
    assert [each.factor for each in planned.plan.scalings] == pytest.approx([FACTOR] * len(scaled))
    found = verify(graph, model, small, removed, scalings=planned.plan.scalings)
    assert found.max_rel_error < 1e-12


def test_the_scale_that_torch_divides_by_unsaid_is_kept_half_by_queries_half_by_keys():
    removed = {"query#2": REMOVED, "value": REMOVED}
    model, graph, planned, small = plan_of(Unsaid, removed)
    assert planned.protected == {}
    assert {each.tensor: each.factor for each in planned.plan.scalings} == {
        name: pytest.approx(math.sqrt(FACTOR))
        for name in ("query.weight", "query.bias", "key.weight", "key.bias")
    }
    assert verify(graph, model, small, removed, scalings=planned.plan.scalings).max_rel_error < 1e-12


def test_the_weights_of_the_cut_network_are_the_scaled_ones():
    model, _, _, small = plan_of(Wide, {"query#2": REMOVED, "value": REMOVED})
    kept = [row for row in range(32) if row % 16 not in REMOVED]
    torch.testing.assert_close(small.query.weight, model.query.weight[kept] * FACTOR)
    torch.testing.assert_close(small.query.bias, model.query.bias[kept] * FACTOR)
    torch.testing.assert_close(small.key.weight, model.key.weight[kept])


@pytest.mark.parametrize("network", [RectifiedBoth, BothUsedElsewhere, ProductUsedElsewhere])
def test_where_no_weights_can_take_the_scale_the_width_stays(network):
    width = {name: REMOVED for name in widths(network) if name != "embed"}
    model, graph, planned, small = plan_of(network, {**width, "embed": [1]})
    assert planned.protected["query#2"] == "the network computes with 3.4641 where the whole network has 4"
    assert planned.plan.scalings == ()
    assert small.query.weight.shape == (32, 15)
    assert verify(graph, model, small, {"embed": [1]}).equivalent


def test_a_wrong_factor_is_found():
    removed = {"query#2": REMOVED, "value": REMOVED}
    model, graph, planned, small = plan_of(Wide, removed)
    unscaled = carry_out(Plan(planned.plan.cuts, planned.plan.attributes), copy.deepcopy(model))
    assert not verify(graph, model, unscaled, removed).equivalent
    with torch.no_grad():
        small.query.weight.mul_(1.001)
    with pytest.raises(WorkFailed, match=r"query\.weight is not what the plan's scaling makes of it"):
        verify(graph, model, small, removed, scalings=planned.plan.scalings)


def test_two_cuts_of_the_width_in_a_row_are_one():
    removed = {"query#2": REMOVED, "value": REMOVED}
    model, graph, planned, small = plan_of(Wide, removed)
    later = make_plan(build_graph(small, SHAPE), {"query#2": [0, 1, 2], "value": [9, 10, 11]}).plan
    both = planned.plan.then(later)
    in_turn, at_once = carry_out(later, copy.deepcopy(small)), carry_out(both, copy.deepcopy(model))
    assert at_once.width == in_turn.width == 9
    for name, tensor in in_turn.state_dict().items():
        torch.testing.assert_close(at_once.state_dict()[name], tensor)
    # rows of the second cut are counted in the whole weight: 12 kept rows of each head
    assert both.scalings[2].rows == tuple(row for row in range(32) if row % 16 not in REMOVED)
    assert both.scalings[2].factor == pytest.approx(math.sqrt(9 / 12))
    kept = {"query#2": [*REMOVED, 1, 2, 4], "value": [*REMOVED, 13, 14, 15]}
    assert verify(graph, model, at_once, kept, scalings=both.scalings).equivalent


scalings = st.builds(
    Scaling,
    st.text(min_size=1, max_size=8),
    st.integers(0, 3),
    st.sets(st.integers(0, 50)).map(lambda rows: tuple(sorted(rows))),
    st.floats(1e-6, 1e6),
)


@given(st.lists(scalings, max_size=4))
def test_scalings_survive_json(found):
    plan = Plan((Cut("a", 0, 4, (1,)),), scalings=tuple(found))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("factor", [0, -1.0, math.inf, math.nan, True, "1"])
def test_a_factor_that_is_no_positive_number_is_refused(factor):
    document = Plan((), scalings=(Scaling("a", 0, (1,), 0.5),)).document()
    document["scalings"][0]["factor"] = factor
    with pytest.raises(InputRefused, match="not a positive number"):
        Plan.from_document(document)


@pytest.mark.parametrize("scaling", [Scaling("nothing", 0, (1,), 0.5), Scaling("query.bias", 0, (32,), 0.5)])
def test_a_scaling_that_does_not_fit_is_refused_and_the_network_untouched(scaling):
    model = networks.randomised(Wide())
    before = model.query.bias.clone()
    with pytest.raises(InputRefused, match="the plan scales"):
        carry_out(Plan(scalings=(Scaling("query.bias", 0, (0,), 2.0), scaling)), model)
    assert torch.equal(model.query.bias, before)
