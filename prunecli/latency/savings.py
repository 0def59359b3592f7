"""Which groups' channels cost more time than their MACs say: where pruning makes a network faster."""

from __future__ import annotations

from collections.abc import Mapping

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.costs_left import macs_left
from prunecli.latency.layers import LatencyTable

MOST = 0.8  # of a group's channels that a weight may ask for


def seconds_per_mac(table: LatencyTable, graph: ChannelGraph, *, multiple: int = 1) -> dict[str, float]:
    """Group name → the time that half of its channels save over the MACs they save, both as shares.

    1 is as the network as a whole; above it are layers on large maps, depthwise ones and what stands between
    layers. About half: what stays is a multiple of `multiple`. Groups too narrow for that are left out, and
    those that save no MACs.
    """
    seconds, macs = table.seconds({}), macs_left(graph, {})
    found = {}
    for group in graph.prunable:
        kept = max(multiple, group.channels // 2 // multiple * multiple)
        removed = {group.name: range(group.channels - kept)}
        saved_macs = 1 - macs_left(graph, removed) / macs
        if saved_macs > 0:
            found[group.name] = max(0.0, 1 - table.seconds(removed) / seconds) / saved_macs
    return found


def weighted_ratios(weights: Mapping[str, float], ratio: float, *, strength: float = 1.0) -> dict[str, float]:
    """Group name → its ratio when the groups' weights, to the power of `strength`, share `ratio` among them.

    A strength of 0 gives every group the same. No group loses more than four fifths.
    """
    return {name: min(MOST, ratio * weight**strength) for name, weight in weights.items()}
