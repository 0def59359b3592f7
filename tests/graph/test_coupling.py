"""What leaves with each filter, against couplings that arithmetic gives."""

from __future__ import annotations

import networks
import numpy as np
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.graph.coupling import leaving_with


def places(model, name, shape=(3, 8, 8)):
    graph = build_graph(model, shape)
    layer = next(layer for layer in graph.layers if layer.name == name)
    return {(each.tensor, each.axis): each for each in leaving_with(graph, layer)}


def test_a_convolution_takes_its_norm_and_its_readers_slices_along():
    found = places(networks.Plain(), "conv1")
    assert next(iter(found)) == ("conv1.weight", 0)
    assert set(found) == {
        ("conv1.weight", 0),
        *((f"bn1.{name}", 0) for name in ("weight", "bias", "running_mean", "running_var")),
        ("conv2.weight", 1),
    }
    for each in found.values():
        np.testing.assert_array_equal(each.positions, np.arange(8))
        np.testing.assert_array_equal(each.owner, np.arange(8))


def test_a_residual_sum_takes_both_its_producers_along():
    found = places(networks.Residual(), "stem")
    assert {("stem.weight", 0), ("outer.weight", 0), ("inner.weight", 1), ("head.linear.weight", 1)} <= set(
        found
    )
    assert ("inner.weight", 0) not in found


def test_flattening_gives_a_filter_as_many_columns_as_its_map_has_positions():
    class Flatten(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.linear = nn.Linear(4 * 36, 5)

        def forward(self, x):
            return self.linear(self.conv(x).flatten(1))

    found = places(Flatten(), "conv")
    read = found["linear.weight", 1]
    np.testing.assert_array_equal(read.positions, np.arange(144))
    np.testing.assert_array_equal(read.owner, np.arange(144) // 36)


def test_a_padded_shortcut_reads_its_filters_at_an_offset():
    found = places(networks.PaddedShortcut(), "stem")
    np.testing.assert_array_equal(found["down.weight", 0].positions, np.arange(2, 6))
    np.testing.assert_array_equal(found["down.weight", 0].owner, np.arange(4))
