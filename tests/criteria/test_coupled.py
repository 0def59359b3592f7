"""Norms over all that leaves with a filter, against loops over the cut network's missing weights."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import torch

from prunecli.criteria.contract import CRITERIA, Evidence, Needs
from prunecli.criteria.coupled import coupled_l1_norm, coupled_l2_norm, synaptic_flow, weights_per_cost
from prunecli.criteria.evidence import ChannelCost, Slices
from prunecli.criteria.norms import l1_norm
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.evidence import collect_evidence

WEIGHT = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
READ = torch.tensor([[2.0], [-4.0], [5.0]])


def evidence(cost=None, flow=None, coupled=True, size=1.0, dtype=torch.float32):
    weight, read = WEIGHT.to(dtype) * size, READ.to(dtype) * size
    slices = (
        Slices("conv.weight", weight, torch.tensor([0, 1])),
        Slices("next.weight", read, torch.tensor([1, 0, 1])),
    )
    return Evidence(
        layer="conv",
        weight=weight,
        kernel_shape=(2, 2),
        coupled=slices if coupled else None,
        cost=cost,
        synaptic_flow=flow,
    )


def test_two_filters_by_hand():
    assert coupled_l1_norm(evidence()).tolist() == [1 + 2 + 4, 3 + 2 + 5]
    torch.testing.assert_close(coupled_l2_norm(evidence()), torch.tensor([21.0, 38.0]).sqrt())


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e30, torch.float32), (1e-30, torch.float32), (1e200, torch.float64)]
)
def test_squares_neither_overflow_nor_vanish(size, dtype):
    scores = coupled_l2_norm(evidence(size=size, dtype=dtype))
    expected = torch.tensor([21.0, 38.0], dtype=dtype).sqrt() * size
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=0)


def left_over(model, layer, filters):
    """By hand, for `networks.Plain`: what of each parameter goes with a filter of conv1."""
    assert layer == "conv1"
    tensors = dict(model.named_parameters())
    for f in range(filters):
        taken = [tensors["conv1.weight"][f], tensors["bn1.weight"][f], tensors["bn1.bias"][f]]
        taken.append(tensors["conv2.weight"][:, f])
        yield np.concatenate([t.detach().double().numpy().reshape(-1) for t in taken])


def test_the_weights_that_leave_a_network():
    model = networks.randomised(networks.Plain())
    graph = build_graph(model, (3, 8, 8))
    given = collect_evidence(model, graph, graph.layers[0], needs=Needs.WEIGHT | Needs.COUPLED | Needs.COST)
    expected = list(left_over(model, graph.layers[0].name, 8))
    l1 = [sum(abs(w) for w in each) for each in expected]
    l2 = [sum(w * w for w in each) ** 0.5 for each in expected]
    np.testing.assert_allclose(coupled_l1_norm(given), l1, rtol=1e-6)
    np.testing.assert_allclose(coupled_l2_norm(given), l2, rtol=1e-6)
    macs, params = 64 * 27 + 64 * 54, 27 + 2 + 54
    np.testing.assert_allclose(weights_per_cost(given), np.divide(l1, (macs * params) ** 0.25), rtol=1e-6)


def test_a_cost_power_of_zero_is_dep_l1_and_of_one_divides_by_the_mean_cost():
    given = evidence(cost=ChannelCost(macs=100.0, params=4.0, activations=1.0))
    assert torch.equal(weights_per_cost(given, power=0.0), coupled_l1_norm(given))
    torch.testing.assert_close(weights_per_cost(given, power=1.0), torch.tensor([7.0, 10.0]) / 20)


def test_what_saves_nothing_counts_as_one():
    given = evidence(cost=ChannelCost(macs=0.0, params=4.0, activations=0.0))
    torch.testing.assert_close(weights_per_cost(given, power=1.0), torch.tensor([7.0, 10.0]) / 2)


def test_without_its_evidence_a_criterion_is_not_available_and_takes_no_other():
    bare = evidence(coupled=False)
    for name, what in (
        ("dep_l1", "what is coupled"),
        ("dep_l2", "what is coupled"),
        ("cpmc", "the cost"),
        ("synflow", "the synaptic flow"),
    ):
        assert not CRITERIA[name].available(bare)
        with pytest.raises(ValueError, match=f"{what} (to|of) conv is unknown"):
            CRITERIA[name].function(bare)
    assert l1_norm(bare).tolist() == [3.0, 3.0]


def test_synflow_is_the_flow_in_the_type_of_the_weights():
    flow = torch.tensor([0.5, 1e300], dtype=torch.float64)
    scores = synaptic_flow(evidence(flow=flow))
    assert scores.dtype == torch.float32
    assert scores.tolist() == [0.5, torch.finfo(torch.float32).max]
