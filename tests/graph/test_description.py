"""A channel graph in JSON values: what couples groups, roles of members, layers in forward order."""

from __future__ import annotations

import json

import pytest
from networks import Chunk, Depthwise, FusedAttention, Plain, Residual, SqueezeExcite
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.graph.description import described
from prunecli.graph.meetings import meetings


def graph_of(network):
    return build_graph(network, (3, 8, 8))


def met(network):
    found = meetings(graph_of(network))
    return {name: [(each.how, each.where) for each in group] for name, group in found.items() if group}


@pytest.mark.parametrize(
    ("network", "how"),
    [
        (Residual(), "sum"),
        (Depthwise(), "convolution in groups"),
        (SqueezeExcite(), "product"),
        (Chunk(), "equal parts"),
    ],
)
def test_the_operation_that_couples_is_named(network, how):
    assert how in {word for found in met(network).values() for word, _ in found}


def test_attention_couples_queries_and_keys():
    words = {word for found in met(FusedAttention()).values() for word, _ in found}
    assert words & {"attention", "matrix product"}


def test_a_chain_of_layers_is_coupled_by_nothing():
    assert met(Plain()) == {}


def test_a_number_that_is_added_couples_nothing():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            return self.second(self.first(x) + 1)

    assert met(Shifted()) == {}


def test_layers_stand_in_forward_order_with_what_they_read_and_make():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.a_last, self.z_first = nn.Conv2d(8, 4, 1), nn.Conv2d(3, 8, 1)

        def forward(self, x):
            return self.a_last(self.z_first(x))

    found = described(graph_of(Backwards()))
    assert [(row["layer"], row["channels"], row["makes"]) for row in found["flow"]] == [
        ("z_first", 8, ["z_first"]),
        ("a_last", 4, ["a_last"]),
    ]
    assert found["flow"][1]["reads"] == ["z_first"]


def test_members_say_what_they_do():
    found = described(graph_of(Residual()))
    roles = {}
    for group in found["groups"]:
        for member in group["members"]:
            roles.setdefault(group["name"], {}).setdefault(member["role"], []).append(member["layer"])
    stream = next(iter(roles.values()))
    assert len(stream["makes"]) > 1
    assert stream["reads"]
    assert json.loads(json.dumps(found)) == found
