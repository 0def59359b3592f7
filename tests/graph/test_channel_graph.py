"""Groups of small networks, as counting by hand gives them."""

from __future__ import annotations

import networks
import pytest
import torch
from torch import nn

from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import build_graph


def graph_of(network, shape=(3, 8, 8)):
    return build_graph(network(), shape)


def groups_of(network):
    return {group.name: group for group in graph_of(network).prunable}


def places(group):
    return {(member.tensor, member.axis) for member in group.members}


def test_a_plain_chain_has_a_group_a_layer_and_protects_the_output():
    graph = graph_of(networks.Plain)
    found = {group.name: group for group in graph.groups}
    assert {name: group.channels for name, group in found.items() if group.prunable} == {
        "conv1": 8,
        "conv2": 6,
    }
    assert places(found["conv1"]) == {
        ("conv1.weight", 0), ("conv2.weight", 1),
        ("bn1.weight", 0), ("bn1.bias", 0), ("bn1.running_mean", 0), ("bn1.running_var", 0),
    }  # fmt: skip
    assert found["head.linear"].reason == "an output of the network"


def test_a_residual_sum_ties_both_ends_and_leaves_the_inner_free():
    found = groups_of(networks.Residual)
    assert places(found["stem"]) == {
        ("stem.weight", 0), ("stem.bias", 0), ("outer.weight", 0), ("outer.bias", 0), ("inner.weight", 1),
        ("head.linear.weight", 1),
    }  # fmt: skip
    assert found["inner"].channels == 12


def test_a_padded_shortcut_splits_the_wide_stage_in_what_is_summed_and_what_is_new():
    found = groups_of(networks.PaddedShortcut)
    assert {name: group.channels for name, group in found.items()} == {"stem": 4, "down": 4}
    down = next(m for m in found["stem"].members if m.tensor == "down.weight" and m.axis == 0)
    assert down.positions.tolist() == [2, 3, 4, 5]
    padded = next(m for m in found["down"].members if m.tensor == "down.weight")
    assert padded.positions.tolist() == [0, 1, 6, 7]


def test_concatenation_keeps_its_parts_apart():
    found = groups_of(networks.Concatenation)
    reading = {
        name: next(m.positions.tolist() for m in group.members if (m.tensor, m.axis) == ("join.weight", 1))
        for name, group in found.items()
        if name != "join"
    }
    assert reading == {"left": [0, 1, 2, 3], "right": [4, 5, 6, 7, 8, 9]}


def test_flattening_gives_every_channel_all_its_positions():
    group = groups_of(networks.FlattenLinear)["stem"]
    member = next(m for m in group.members if m.tensor == "linear1.weight")
    assert member.positions[member.units == 1].tolist() == list(range(16, 32))
    last = groups_of(networks.ChannelsLastFlatten)["stem"]
    member = next(m for m in last.members if m.tensor == "linear1.weight")
    assert member.positions[member.units == 1].tolist() == [6 * i + 1 for i in range(16)]


def test_a_depthwise_multiplier_gives_every_channel_two_filters():
    (group,) = groups_of(networks.DepthwiseMultiplier).values()
    member = next(m for m in group.members if (m.tensor, m.axis) == ("depthwise.weight", 0))
    assert member.positions[member.units == 3].tolist() == [6, 7]


def test_one_factor_of_a_grouped_convolution_leaves_the_other_says_so():
    graph = graph_of(networks.Grouped)
    assert [group.channels for group in graph.prunable] == [8]
    reasons = [group.reason for group in graph.groups if group.reason and "another factor" in group.reason]
    assert reasons


def test_heads_of_fused_attention_take_query_key_value_and_projection():
    group = groups_of(networks.FusedAttention)["qkv"]
    assert group.channels == 8
    rows = next(m for m in group.members if (m.tensor, m.axis) == ("qkv.weight", 0))
    first_head = sorted(rows.positions[rows.units == 0].tolist())
    assert first_head == [*range(4), *range(32, 36), *range(64, 68)]


def test_heads_of_torchs_attention_are_found_though_batch_and_heads_are_one_dimension_inside():
    found = groups_of(networks.TorchAttention)
    assert {name: group.channels for name, group in found.items()} == {"embed": 32, "attention": 8}
    rows = next(m for m in found["attention"].members if m.tensor == "attention.in_proj_weight")
    assert sorted(rows.positions[rows.units == 1]) == [*range(4, 8), *range(36, 40), *range(68, 72)]


def test_a_stepped_slice_ties_the_channels_between_two_taken_ones():
    found = groups_of(networks.StridedHalves)
    assert {name: group.channels for name, group in found.items()} == {"stem": 4, "even": 6, "odd": 6}
    rows = next(m for m in found["stem"].members if m.tensor == "stem.weight")
    assert rows.positions[rows.units == 1].tolist() == [2, 3]


def test_a_single_channel_stays():
    groups = {group.name: group for group in graph_of(networks.OneChannelGate).groups}
    assert groups["gate"].reason == "a single channel"


def test_a_one_channel_convolution_is_not_depthwise():
    graph = graph_of(networks.OneChannelInput, (1, 8, 8))
    assert {group.name: group.channels for group in graph.prunable} == {"stem": 8, "wide": 6}


def test_an_operator_without_a_rule_protects_what_it_touches_and_is_named():
    graph = graph_of(networks.UnknownOperator)
    stem = next(group for group in graph.groups if group.name == "stem")
    assert "no coupling rule for aten.linalg_matrix_exp" in (stem.reason or "")
    assert {group.name for group in graph.prunable} == {"free", "next"}


def test_nothing_is_computed_and_the_network_is_untouched():
    model = networks.Residual()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = build_graph(model, (3, 8, 8))
    assert all(parameter.is_meta for parameter in graph.model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_input_that_does_not_fit_is_refused_with_the_option_to_type():
    with pytest.raises(InputRefused, match="does not run on an input of 4x8x8") as caught:
        build_graph(networks.Plain(), (4, 8, 8))
    assert "--input-shape" in caught.value.hints[0]


def test_half_precision_is_traced():
    assert build_graph(networks.Residual().to(torch.bfloat16), (3, 8, 8)).prunable


def test_a_batch_norm_belongs_to_the_layer_whose_output_it_reads():
    graph = graph_of(networks.Plain)
    assert {layer.name: layer.batch_norm for layer in graph.layers} == {
        "conv1": "bn1", "conv2": None, "head.linear": None,
    }  # fmt: skip


def test_transposed_convolutions_count_filters_on_their_second_axis():
    graph = build_graph(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 2), nn.Conv2d(6, 2, 1)), (3, 8, 8)
    )
    layer = graph.layers[1]
    assert (layer.filter_axis, layer.channels) == (1, 6)


RUNS = []


class Counted(nn.Module):
    """Counts its forward passes; `prepare` and `asks` say what else they do."""

    def __init__(self, *, prepare=False, asks=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.prepare, self.asks = prepare, asks
        self.kept = {}

    def forward(self, x):
        if self.prepare and 0 not in self.kept:
            self.kept[0] = self.conv.weight.sum()
        RUNS.append(1)
        return self.norm(self.conv(x)) * (2 if self.asks and self.training else 1)


@pytest.mark.parametrize(("given", "runs"), [({}, 1), ({"asks": True}, 2), ({"prepare": True}, 2)])
def test_a_network_runs_again_only_where_it_may_do_something_else(given, runs):
    RUNS.clear()
    graph = build_graph(Counted(**given), (3, 4, 4))
    assert len(RUNS) == runs
    assert [trace.training for trace in graph.traces] == [False, True]
    assert not any(op.name == "aten.sum" for trace in graph.traces for op in trace.operations)


TABLES = {}


class WithATable(nn.Module):
    """Makes a table in the first call and keeps it outside of the network."""

    def forward(self, x):
        if "table" not in TABLES:
            TABLES["table"] = torch.arange(4, device=x.device, dtype=x.dtype)
        return x + TABLES["table"]


def test_what_a_first_call_keeps_elsewhere_is_no_part_of_the_trace():
    TABLES.clear()
    graph = build_graph(WithATable(), (4,))
    assert [op.name for op in graph.traces[0].operations] == ["aten.add"]
