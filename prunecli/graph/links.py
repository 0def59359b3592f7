"""Groups of which as many channels must leave as of others, though none leaves with any other.

`torch.nn.MultiheadAttention` wants to be as wide inside, heads × width of a head, as what it reads and
writes. Neither may shrink alone, and which channels of the one leave says nothing of those of the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import nn

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import ChannelGroup


@dataclass(frozen=True)
class Link:
    """Channels of `group` leave `unit` at a time, and of each of `followers` (name → how many) with them."""

    group: str
    unit: int
    followers: Mapping[str, int]


@lru_cache(maxsize=4)
def links_of(graph: ChannelGraph) -> tuple[Link, ...]:
    """The links of a network, one a group that others follow."""
    found: dict[str, dict[str, int]] = {}
    for read, inside in _attentions(graph):
        found.setdefault(read.name, {})[inside.name] = read.channels // inside.channels
    return tuple(_link(name, sizes) for name, sizes in found.items())


def _link(name: str, sizes: Mapping[str, int]) -> Link:
    """`sizes` are how many channels of the group go with one of each follower."""
    unit = math.lcm(*sizes.values())
    return Link(name, unit, {follower: unit // size for follower, size in sizes.items()})


def _attentions(graph: ChannelGraph) -> Iterator[tuple[ChannelGroup, ChannelGroup]]:
    """Of every attention module: the group that it reads, and the one inside that may leave.

    What reads several groups, or has nothing inside that may leave, is left to the trial of a plan.
    """
    for path, module in graph.model.named_modules():
        if not isinstance(module, nn.MultiheadAttention) or module.in_proj_weight is None:
            continue
        weight = f"{path}.in_proj_weight".lstrip(".")
        read, inside = (_groups_along(graph, weight, axis) for axis in (1, 0))
        may_leave = [group for group in inside if group.prunable]
        if len(read) == len(may_leave) == 1 and read[0].channels == module.embed_dim:
            yield read[0], may_leave[0]


def _groups_along(graph: ChannelGraph, tensor: str, axis: int) -> list[ChannelGroup]:
    labels = graph.origins.get((tensor, axis), np.zeros((0, 1), np.int64))
    return [group for group in graph.groups if np.isin(group.labels, labels).any()]
