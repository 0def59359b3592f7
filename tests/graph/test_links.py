"""What `nn.MultiheadAttention` reads and what is inside shrink together, in whole heads or whole widths."""

from __future__ import annotations

import networks
from attention_networks import Encoder, SeparateAttention

from prunecli.graph.channel_graph import build_graph
from prunecli.graph.links import Link, links_of

SHAPE = (3, 8, 8)


def test_a_head_leaves_with_as_many_channels_as_it_is_wide():
    assert links_of(build_graph(networks.TorchAttention(), SHAPE)) == (Link("embed", 4, {"attention": 1}),)


def test_of_few_heads_each_loses_a_part_of_its_width():
    # two heads, so the sixteen positions inside each are the group; both lose one for two of the stream
    (link,) = links_of(build_graph(Encoder(32, heads=(2,)), SHAPE))
    assert (link.group, link.unit, [*link.followers.values()]) == ("embed", 2, [1])


def test_blocks_of_different_heads_lose_what_fits_all():
    # heads of four in the first block, of two in the second
    (link,) = links_of(build_graph(Encoder(32, heads=(8, 16)), SHAPE))
    assert (link.group, link.unit) == ("embed", 4)
    assert link.followers == {"attention.0": 1, "attention.1": 2}


def test_attention_with_layers_of_its_own_is_free():
    assert links_of(build_graph(SeparateAttention(), SHAPE)) == ()
