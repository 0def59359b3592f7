"""A channel graph as JSON values: its groups with their members and what couples them, and its layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prunecli.graph.channel_graph import ChannelGraph, forward_order
from prunecli.graph.groups import ChannelGroup, Member
from prunecli.graph.layers import Layer
from prunecli.graph.meetings import meetings

MAKES, READS, FOLLOWS = "makes", "reads", "follows"
"""What a member does: its filters make the channels, it reads them, or it has a number for each."""


def described(graph: ChannelGraph) -> dict[str, Any]:
    """`groups` as `inspect` lists them, and `flow`: layers in forward order with what they read and make."""
    layers = {layer.weight: layer for layer in graph.layers}
    return {"groups": _groups(graph, layers), "flow": _flow(graph, layers)}


def _groups(graph: ChannelGraph, layers: dict[str, Layer]) -> list[dict[str, Any]]:
    met = meetings(graph)
    return [
        {
            "name": group.name,
            "channels": group.channels,
            "members": [
                {"layer": member.layer, "axis": member.axis, "role": _role(member, layers)}
                for member in _places(group)
            ],
            "prunable": group.prunable,
            "reason": group.reason,
            "coupled_by": [{"how": each.how, "where": [*each.where]} for each in met[group.name]],
        }
        for group in graph.groups
    ]


def _places(group: ChannelGroup) -> Iterator[Member]:
    """One member a layer and axis: a bias says nothing that its weight does not."""
    seen: set[tuple[str, int]] = set()
    for member in group.members:
        if (member.layer, member.axis) not in seen:
            seen.add((member.layer, member.axis))
            yield member


def _role(member: Member, layers: dict[str, Layer]) -> str:
    layer = layers.get(member.tensor)
    if layer is None:
        return FOLLOWS
    return MAKES if member.axis == layer.filter_axis else READS


def _flow(graph: ChannelGraph, layers: dict[str, Layer]) -> list[dict[str, Any]]:
    """Groups of one layer in the order of the groups; a layer that no pass comes to stands at the end."""
    ends: dict[str, dict[str, dict[str, None]]] = {name: {MAKES: {}, READS: {}} for name in layers}
    for group in graph.groups:
        for member in group.members:
            role = _role(member, layers)
            if role != FOLLOWS:
                ends[member.tensor][role][group.name] = None
    order = forward_order(graph.traces)
    return [
        {
            "layer": layers[weight].name,
            "type": layers[weight].type,
            "channels": layers[weight].channels,
            "reads": [*ends[weight][READS]],
            "makes": [*ends[weight][MAKES]],
        }
        for weight in sorted(layers, key=lambda name: order.get(name, len(order)))
    ]
