"""Blocks are modules in the order of the forward pass; what leaves together only is in one of them."""

from __future__ import annotations

import networks
from attention_networks import Encoder

from prunecli.graph.channel_graph import build_graph
from prunecli.strategies.procedures.blocks import blocks_of

SHAPE = (3, 8, 8)


def groups_of(network):
    return [(block.name, set(block.groups)) for block in blocks_of(build_graph(network, SHAPE))]


def test_layers_of_the_network_itself_are_blocks():
    assert groups_of(networks.Residual()) == [("stem", {"stem"}), ("inner", {"inner"})]


def test_attentions_are_in_the_block_of_the_stream_that_they_read():
    assert groups_of(Encoder(32, heads=(8, 8))) == [
        ("embed", {"embed", "attention.0", "attention.1"}),
        ("mlp.0.0", {"mlp.0.0"}),
        ("mlp.1.0", {"mlp.1.0"}),
    ]
