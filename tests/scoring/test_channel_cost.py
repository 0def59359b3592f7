"""What a channel saves, against cutting it: torch's own count of the cut network, and hand arithmetic."""

from __future__ import annotations

from statistics import mean

import networks
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunecli.graph.channel_graph import build_graph
from prunecli.graph.meta import meta_copy
from prunecli.scoring.channel_cost import channel_cost
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan


class Bilinear(nn.Module):
    """All products of two channels: a channel stands twice at its own square."""

    def __init__(self):
        super().__init__()
        self.stem = networks.conv(3, 4)
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x).mean((2, 3))
        return self.linear((x[:, :, None] * x[:, None, :]).flatten(1))


NETWORKS = [
    networks.Plain, networks.Residual, networks.Concatenation, networks.Dense, networks.Chunk,
    networks.StridedHalves, networks.ChannelShuffle, networks.PixelShuffle, networks.Grouped,
    networks.Depthwise, networks.DepthwiseMultiplier, networks.Transposed, networks.GroupedTransposed,
    networks.FlattenLinear, networks.ChannelsLastFlatten, networks.ConcatenationThenFlatten,
    networks.SqueezeExcite, networks.SharedLayer, networks.TiedWeights, networks.WeightStandardised,
    networks.FusedAttention, networks.TrainingBranch, Bilinear,
]  # fmt: skip


def macs_and_params(model):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(1, 3, 8, 8, device="meta"))
    return counter.get_total_flops() / 2, sum(parameter.numel() for parameter in model.parameters())


def cut_away(graph, model, group, unit):
    """(MACs, parameters) that the network has fewer of without one unit."""
    planned = make_plan(graph, {group.name: [unit]})
    assert not planned.protected
    before = macs_and_params(meta_copy(model))
    after = macs_and_params(carry_out(planned.plan, meta_copy(model)))
    return tuple(b - a for b, a in zip(before, after, strict=True))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_a_channel_saves_what_the_network_cut_without_it_has_less(network):
    model = network()
    graph = build_graph(model, (3, 8, 8))
    checked = 0
    for layer in graph.layers:
        of_its_filters = []
        for group in graph.prunable:
            saved = {}
            for member in group.members:
                if (member.tensor, member.axis) == (layer.weight, layer.filter_axis):
                    for unit in member.units.tolist():
                        if unit not in saved:
                            saved[unit] = cut_away(graph, model, group, unit)
                        of_its_filters.append(saved[unit])
        if of_its_filters:
            cost = channel_cost(graph, layer)
            assert cost.macs == pytest.approx(mean(macs for macs, _ in of_its_filters), rel=1e-12)
            assert cost.params == pytest.approx(mean(params for _, params in of_its_filters), rel=1e-12)
            checked += 1
    assert checked


@pytest.mark.parametrize(
    ("network", "layer", "macs", "params", "activations"),
    [
        # conv1 makes 64 positions of 3·9 products, conv2 reads it with 6 filters of 9; scale and shift.
        (networks.Plain, "conv1", 64 * 27 + 64 * 54, 27 + 2 + 54, 64),
        # conv2 has a bias; the head reads its mean with 5 outputs.
        (networks.Plain, "conv2", 64 * 72 + 5, 72 + 1 + 5, 64),
        # 16 positions of the flattened map go into 10 outputs.
        (networks.FlattenLinear, "stem", 16 * 27 + 160, 27 + 1 + 160, 16),
        # The sum of the residual branch loses the channel in both.
        (networks.Residual, "outer", 64 * (27 + 108 + 108) + 5, 28 + 108 + 109 + 5, 128),
        # Two filters of each layer make one group, of 2 channels in and 2 out.
        (networks.Grouped, "grouped", 64 * (2 * 27 + 36) + 10, 2 * 28 + 36 + 2 + 10, 256),
        # A transposed convolution reads 64 positions and writes 256, all with a 2×2 kernel.
        (networks.Transposed, "stem", 64 * 27 + 64 * 24, 28 + 24, 64),
        (networks.Transposed, "up", 64 * 8 * 4 + 5, 8 * 4 + 1 + 5, 256),
        # Nobody reads the head: an output of the network costs what makes it.
        (networks.Plain, "head.linear", 6, 7, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_by_hand(network, layer, macs, params, activations):
    graph = build_graph(network(), (3, 8, 8))
    named = {each.name: each for each in graph.layers}
    cost = channel_cost(graph, named[layer])
    assert (cost.macs, cost.params, cost.activations) == pytest.approx((macs, params, activations))


def test_a_filter_that_is_read_by_itself_counts_once():
    # The cell reads its own 8 channels in three calls: 64 − 49 of its 64 kernels leave, of 9 weights each.
    graph = build_graph(networks.SharedLayer(), (3, 8, 8))
    cost = channel_cost(graph, graph.layers[1])
    assert cost.params == pytest.approx(28 + 15 * 9 + 1 + 5)
    assert cost.macs == pytest.approx(64 * 27 + 3 * 64 * 15 * 9 + 5)
    assert cost.activations == 64 * 4


def test_a_layer_that_no_input_reaches_has_no_cost():
    model = networks.Plain()
    model.never_called = nn.Conv2d(3, 4, 3)
    graph = build_graph(model, (3, 8, 8))
    costs = {layer.name: channel_cost(graph, layer) for layer in graph.layers}
    assert costs["never_called"] is None
    assert None not in [costs[name] for name in ("conv1", "conv2", "head.linear")]


def test_one_graph_after_the_other():
    graphs = [build_graph(network(), (3, 8, 8)) for network in (networks.Plain, networks.Residual)]
    first = [channel_cost(graph, graph.layers[0]) for graph in graphs]
    assert first[0] != first[1]
    assert [channel_cost(graph, graph.layers[0]) for graph in graphs] == first
