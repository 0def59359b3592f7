"""The blocks of a network in the order of its forward pass, to be pruned one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.strategies.bites import Block

if TYPE_CHECKING:
    from prunecli.graph.channel_graph import ChannelGraph


def blocks_of(graph: ChannelGraph) -> tuple[Block, ...]:
    """The prunable groups by the module that the first layer of each stands in.

    A layer that stands in a list of layers (`nn.Sequential`, `nn.ModuleList`) is a block of its own. Groups
    that leave together only are in the first block of any of them.
    """
    from torch import nn

    from prunecli.surgery.linking import links_of

    found: dict[str, list[str]] = {}
    for group in graph.prunable:
        layer = group.name
        parent = layer.rpartition(".")[0]
        module = graph.model.get_submodule(parent)
        alone = not parent or isinstance(module, nn.Sequential | nn.ModuleList)
        found.setdefault(layer if alone else parent, []).append(group.name)
    for link in links_of(graph):
        linked = {link.group, *link.followers}
        home = next(name for name, groups in found.items() if linked.intersection(groups))
        for groups in found.values():
            groups[:] = [name for name in groups if name not in linked]
        found[home].extend(linked)
    return tuple(Block(name=name, groups=frozenset(groups)) for name, groups in found.items() if groups)
