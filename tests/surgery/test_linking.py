"""What an attention reads and what is inside shrink together where its forward divides one by the other."""

from __future__ import annotations

import networks
import pytest
from attention_networks import Encoder, ScaledDotProduct, SeparateAttention, WidthOverHeads

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.linking import Link, links_of

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


@pytest.mark.parametrize("network", [SeparateAttention, ScaledDotProduct])
def test_attention_whose_heads_have_a_width_of_their_own_is_free(network):
    assert links_of(build_graph(network(embed=32), SHAPE)) == ()


def test_a_forward_that_divides_the_width_by_the_heads_is_found_out():
    assert links_of(build_graph(WidthOverHeads(), SHAPE)) == (Link("embed", 4, {"query": 1}),)
