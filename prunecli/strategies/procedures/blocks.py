"""The blocks of a network in the order of its forward pass, to be pruned one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.strategies.bites import Block

if TYPE_CHECKING:
    from prunecli.graph.channel_graph import ChannelGraph


def blocks_of(graph: ChannelGraph) -> tuple[Block, ...]:
    """The prunable groups by the module that the first layer of each stands in.

    A layer that stands in a list of layers (`nn.Sequential`, `nn.ModuleList`) is a block of its own.
    """
    from torch import nn

    found: dict[str, list[str]] = {}
    for group in graph.prunable:
        layer = group.name
        parent = layer.rpartition(".")[0]
        module = graph.model.get_submodule(parent)
        alone = not parent or isinstance(module, nn.Sequential | nn.ModuleList)
        found.setdefault(layer if alone else parent, []).append(group.name)
    return tuple(Block(name=name, groups=frozenset(groups)) for name, groups in found.items())
