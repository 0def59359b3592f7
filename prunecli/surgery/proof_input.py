"""A smaller input for the proof, where the network computes the same on it with fewer positions.

What is proved is which weights meet which channels, and that does not depend on the size of a picture. A
network that takes only one size, or whose groups would be others, is proved on the size of its trace.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.groups import ChannelGroup

# Of a picture: after a stride of 32 nine positions are left for batch statistics; some networks need more
SIDES = (96, 128)
WORTH = 4  # times fewer positions: tracing once more takes time as well


def graph_for_proof(graph: ChannelGraph) -> ChannelGraph:
    """The graph of the same network on pictures of one of `SIDES`, or `graph` itself."""
    first = graph.calling.inputs[0]
    if graph.calling.parts is not None or first.below is not None or len(first.shape) < 3:
        return graph
    *kept, height, width = first.shape
    for side in SIDES:
        sides = min(height, side), min(width, side)
        if height * width < WORTH * sides[0] * sides[1]:
            break
        with suppress(InputRefused):
            small = build_graph(graph.model, (*kept, *sides))
            return small if _same_work(graph, small) else graph
    return graph


def _same_work(graph: ChannelGraph, small: ChannelGraph) -> bool:
    """Whether both run the same operations on the same weights and have the same groups."""
    if len(graph.traces) != len(small.traces) or len(graph.prunable) != len(small.prunable):
        return False
    work = [
        [[(op.name, [ref.name for ref in op.tensors()]) for op in trace.operations] for trace in each.traces]
        for each in (graph, small)
    ]
    return work[0] == work[1] and all(map(_same_group, graph.prunable, small.prunable))


def _same_group(one: ChannelGroup, other: ChannelGroup) -> bool:
    return (
        one.name == other.name
        and one.channels == other.channels
        and [(member.tensor, member.axis) for member in one.members]
        == [(member.tensor, member.axis) for member in other.members]
        and all(
            np.array_equal(mine.positions, theirs.positions) and np.array_equal(mine.units, theirs.units)
            for mine, theirs in zip(one.members, other.members, strict=True)
        )
    )
