"""Groups of which as many channels must leave as of others, though none leaves with any other.

An attention whose heads are as wide as what it reads is over their number, as `torch.nn.MultiheadAttention`
and every forward that says `C // num_heads`, wants to be as wide inside as outside. Neither may shrink alone,
and which channels of the one leave says nothing of those of the other. Whether a forward is such is tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import ChannelGroup
from prunecli.graph.layers import Layer
from prunecli.surgery.planning import runs_without

ALWAYS = "MultiheadAttention"
LAYERS = (ALWAYS, "Linear")


@dataclass(frozen=True)
class Link:
    """Channels of `group` leave `unit` at a time, and of each of `followers` (name → how many) with them."""

    group: str
    unit: int
    followers: Mapping[str, int]

    def leaving(self) -> dict[str, range]:
        """The first channels of each, as many as leave in one step."""
        return {name: range(count) for name, count in {self.group: self.unit, **self.followers}.items()}


@dataclass(frozen=True, eq=False)
class _Attention:
    """A layer whose rows are heads × width: whose it is, what it reads, what may leave inside."""

    kind: str
    read: ChannelGroup
    inside: ChannelGroup


@lru_cache(maxsize=4)
def links_of(graph: ChannelGraph) -> tuple[Link, ...]:
    """The links of a network, one a group: what cannot shrink without it, and can with it.

    Attentions of one class are taken to be alike where they are tried inside alone.
    """
    free: dict[str, bool] = {ALWAYS: False}
    bound = []
    for each in _attentions(graph):
        if each.kind not in free:
            free[each.kind] = runs_without(graph, {each.inside.name: (0,)})
        if not free[each.kind]:
            bound.append(each)
    links = _links(bound)
    if all(each.kind == ALWAYS for each in bound):
        return links
    if runs_without(graph, {name: gone for link in links for name, gone in link.leaving().items()}):
        return links
    return tuple(link for link in links if runs_without(graph, link.leaving()))


def _links(attentions: Sequence[_Attention]) -> tuple[Link, ...]:
    sizes: dict[str, dict[str, int]] = {}  # how many channels of a group go with one of each follower
    # What is inside may read several: keys of a smaller map, for one. The query, which comes first, decides.
    first: dict[str, _Attention] = {}
    for each in attentions:
        first.setdefault(each.inside.name, each)
    for name, each in first.items():
        sizes.setdefault(each.read.name, {})[name] = each.read.channels // each.inside.channels
    return tuple(
        Link(name, unit, {follower: unit // size for follower, size in own.items()})
        for name, own in sizes.items()
        for unit in (math.lcm(*own.values()),)
    )


def _attentions(graph: ChannelGraph) -> Iterator[_Attention]:
    """Layers that are as wide inside, once or as key and value or with the query, as what they read.

    What reads several groups, or has nothing inside that may leave, is left to the trial of a plan.
    """
    for layer in graph.layers:
        inner = graph.origins.get((layer.weight, 0))
        if layer.type not in LAYERS or layer.filter_axis or inner is None or inner.shape[1] < 2:
            continue
        read, inside = graph.groups_on(graph.origins[layer.weight, 1]), graph.groups_on(inner)
        may_leave = [group for group in inside if group.prunable]
        if len(read) != 1 or len(may_leave) != 1 or not read[0].prunable or read[0] is may_leave[0]:
            continue
        width = read[0].channels
        if len(inner) in (width, 2 * width, 3 * width) and not width % may_leave[0].channels:
            yield _Attention(_kind(graph, layer), read[0], may_leave[0])


def _kind(graph: ChannelGraph, layer: Layer) -> str:
    """The class of the module that the layer is, holds it or, of a module of its own, calls it."""
    module = layer.module(graph.model)
    if layer.type == ALWAYS or layer.bare:
        return type(module).__name__
    return type(graph.model.get_submodule(layer.name.rpartition(".")[0])).__name__
