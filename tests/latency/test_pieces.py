"""Operations after channels have left, worked out from labels: those of the network that is really cut."""

from __future__ import annotations

import coupling_networks
import networks
import pytest
import torch

from prunecli.graph.channel_graph import build_graph
from prunecli.graph.meta import meta_copy
from prunecli.latency.pieces import keeping, steps_of, whole
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan

SHAPE = (3, 8, 8)
BATCH = 4


def keys(steps, keep):
    return [step.piece(keep).key for step in steps]


@pytest.mark.parametrize(
    "network",
    (*networks.COUPLINGS, networks.ChannelShuffle, networks.Chunk, coupling_networks.SplitBySizes),
    ids=lambda network: network.__name__,
)
def test_they_are_those_of_the_cut_network(network):
    model = network()
    graph = build_graph(model, SHAPE)
    steps = steps_of(graph, batch=BATCH)
    planned = make_plan(graph, {group.name: range(group.channels // 2) for group in graph.prunable})
    removed = {group.name: group.removed for group in planned.plan.groups}
    cut = build_graph(carry_out(planned.plan, meta_copy(model)), SHAPE)
    assert removed
    assert keys(steps, keeping(graph.marked(removed))) == keys(steps_of(cut, batch=BATCH), whole)
    assert [step.shape(keeping(graph.marked(removed))) for step in steps] == [
        step.shape(whole) for step in steps_of(cut, batch=BATCH)
    ]


def test_a_convolution_by_hand():
    steps = steps_of(build_graph(networks.Plain(), SHAPE), batch=BATCH)
    second = [step for step in steps if step.operation.name == "aten.convolution"][1]
    assert second.place == "conv2"
    assert second.shape(whole) == (4, 6, 8, 8)
    assert second.piece(whole).key == (
        "aten.convolution(float32[4x8x8x8], float32[6x8x3x3], float32[6], [1, 1], [1, 1], [1, 1], False, "
        "[0, 0], 1)"
    )


def test_views_do_no_work():
    graph = build_graph(networks.FusedAttention(), SHAPE)
    names = {step.operation.name for step in steps_of(graph, batch=BATCH)}
    assert names
    assert not names & {"aten.view", "aten.t", "aten.permute", "aten.transpose", "aten._unsafe_view"}


def test_the_layout_of_a_turned_tensor_is_kept():
    steps = steps_of(build_graph(networks.Plain(), SHAPE), batch=BATCH)
    product = next(step for step in steps if step.operation.name == "aten.addmm")
    weight = product.piece(whole).args[2]
    assert (weight.shape, weight.order) == ((6, 5), (1, 0))


def test_a_network_that_looks_at_its_batch_is_measured_on_two():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x) if len(x) == 2 else self.conv(x) + 1

    (step,) = steps_of(build_graph(Odd(), SHAPE), batch=BATCH)
    assert step.shape(whole) == (2, 4, 6, 6)
