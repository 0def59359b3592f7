"""How many MACs a network has once channels are gone, from the traced shapes and labels: nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis, kept_count
from prunecli.scoring.channel_cost import axes_finder, counted_products


def macs_left(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> int:
    """The MACs at batch 1 of convolutions and matrix products when channels (by group name) are removed.

    An operation keeps the product of the shares of its dimensions that stay.
    """
    marked = graph.marked(removed)
    total = 0
    for count, axes in _by_axes(graph):
        before, after = 1, 1
        for axis in axes:
            before, after = before * len(axis), after * kept_count(axis, marked)
        total += count * after // before
    return total


@lru_cache(maxsize=2)
def _by_axes(graph: ChannelGraph) -> tuple[tuple[int, tuple[Axis, ...]], ...]:
    """Every operation's MACs, and the axes that it runs through and that can lose positions."""
    trace = graph.traces[0]
    batch = trace.inputs[0].shape[0]
    return tuple(
        (count // batch, tuple(axis for axis in through if axis.any()))
        for _, products in counted_products(trace.operations, axes_finder(graph))
        for count, through in products
    )
