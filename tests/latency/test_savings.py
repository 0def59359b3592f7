"""Time saved over MACs saved, group by group, with made-up seconds."""

from __future__ import annotations

import networks
import pytest

from prunecli.graph.channel_graph import build_graph
from prunecli.latency.savings import seconds_per_mac, weighted_ratios

SHAPE = (3, 8, 8)
WHOLE = 64 * 9 * (3 * 8 + 8 * 6) + 6 * 5  # MACs of three layers: 3 → 8 → 6 → 5


class Table:
    """Every channel of the first group costs one second of twelve, those of the second nothing."""

    def seconds(self, removed):
        return 12.0 - len(removed.get("conv1", ()))


def test_time_saved_over_macs_saved():
    found = seconds_per_mac(Table(), build_graph(networks.Plain(), SHAPE))
    saved = 4 * 64 * 9 * (3 + 6) / WHOLE
    assert found == {"conv1": pytest.approx((4 / 12) / saved), "conv2": 0.0}


def test_what_stays_is_a_multiple():
    graph = build_graph(networks.Plain(), SHAPE)
    found = seconds_per_mac(Table(), graph, multiple=3)
    assert found["conv1"] == pytest.approx((5 / 12) / (5 * 64 * 9 * (3 + 6) / WHOLE))
    assert seconds_per_mac(Table(), graph, multiple=8) == {}


def test_ratios_follow_the_weights():
    weights = {"early": 2.0, "late": 0.5}
    assert weighted_ratios(weights, 0.3) == {"early": 0.6, "late": 0.15}
    assert weighted_ratios(weights, 0.6) == {"early": 0.8, "late": 0.3}
    assert weighted_ratios(weights, 0.3, strength=0) == {"early": 0.3, "late": 0.3}
