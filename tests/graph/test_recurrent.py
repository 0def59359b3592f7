"""Recurrent layers are one operation, and a hidden unit leaves all gates, layers and directions at once."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from coupling_networks import Recurrent
from torch import nn
from torch.utils import _pytree as pytree

from prunecli.cost.macs import measure
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.graph.recurrent import recurrent_layers_whole
from prunecli.scoring.channel_cost import channel_cost
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

SHAPE = (7, 6)


def deep_lstm():
    return Recurrent(nn.LSTM(10, 8, 2, bidirectional=True, batch_first=True), 16)


def cut(model, removed):
    planned = make_plan(build_graph(model, SHAPE), removed)
    return planned, carry_out(planned.plan, copy.deepcopy(model))


class LearnedState(Recurrent):
    """Begins with a state that is a parameter, and gives the last state alone."""

    def __init__(self):
        super().__init__(nn.GRU(10, 8), 8)
        self.begin = nn.Parameter(torch.zeros(1, 1, 8))

    def forward(self, x):
        x = torch.relu(self.embed(x)).transpose(0, 1)
        return self.linear(self.layer(x, self.begin.expand(-1, x.shape[1], -1).contiguous())[1][-1])


class ChannelByChannel(nn.Module):
    """One layer over the pixels of every channel: channels are images to it. Takes 3x8x8."""

    def __init__(self):
        super().__init__()
        self.stem = networks.conv(3, 6)
        self.layer = nn.LSTM(1, 4, batch_first=True)
        self.linear = nn.Linear(24, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.layer(x.flatten(0, 1).flatten(1)[..., None])[0][:, -1]
        return self.linear(y.reshape(len(x), -1))


def test_a_layer_is_one_operation_however_long_the_sequence():
    counts = set()
    for steps in (2, 50):
        (trace, _) = build_graph(deep_lstm(), (steps, 6)).traces
        counts.add(len(trace.operations))
        (layer,) = [each for each in trace.operations if each.name == "prunecli.lstm"]
        assert [ref.shape for ref in layer.outputs] == [(2, steps, 16), (4, 2, 8), (4, 2, 8)]
    assert len(counts) == 1


def test_a_hidden_unit_stands_in_all_gates_of_all_layers_and_directions():
    groups = {group.name: group for group in build_graph(deep_lstm(), SHAPE).prunable}
    assert {name: group.channels for name, group in groups.items()} == {"embed": 10, "layer": 8}
    places = {
        (member.tensor.removeprefix("layer."), member.axis): member.positions[member.units == 3].tolist()
        for member in groups["layer"].members
    }
    for end in ("l0", "l0_reverse", "l1", "l1_reverse"):
        for rows in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            assert places[f"{rows}_{end}", 0] == [3, 11, 19, 27]
        assert places[f"weight_hh_{end}", 1] == [3]
    for end in ("l1", "l1_reverse"):
        assert places[f"weight_ih_{end}", 1] == [3, 11]
    assert places["linear.weight", 1] == [3, 11]
    assert len(places) == 4 * 4 + 4 + 2 + 1


def test_the_weights_that_make_hidden_units_are_layers():
    layers = {layer.name: layer for layer in build_graph(deep_lstm(), SHAPE).layers}
    assert layers["layer"].weight == "layer.weight_ih_l0"
    assert layers["layer"].bias == "layer.bias_ih_l0"
    assert layers["layer"].channels == 32
    assert layers["layer.weight_ih_l1"].bare
    assert not layers["layer"].bare
    model = deep_lstm()
    assert layers["layer.weight_ih_l1"].module(model) is layers["layer"].module(model) is model.layer


def test_the_cut_layer_has_the_rows_and_columns_that_slicing_by_hand_gives():
    model = networks.randomised(Recurrent(nn.GRU(10, 3, 2), 3))
    _, small = cut(model, {"layer": [1]})
    rows, columns = [0, 2, 3, 5, 6, 8], [0, 2]
    by_hand = nn.GRU(10, 2, 2)
    with torch.no_grad():
        for name, tensor in by_hand.named_parameters():
            part = model.layer.get_parameter(name)[rows]
            tensor.copy_(part[:, columns] if name not in {"weight_ih_l0"} and part.dim() == 2 else part)
    x = torch.randn(5, 2, 10)
    assert torch.equal(small.layer(x)[0], by_hand(x)[0])
    assert (small.layer.input_size, small.layer.hidden_size) == (10, 2)


def test_the_cut_layer_trains_with_its_own_weights():
    _, small = cut(networks.randomised(deep_lstm()), {"embed": [0], "layer": [1, 5]})
    held = small.layer._flat_weights
    assert all(one is two for one, two in zip(held, small.layer.parameters(), strict=True))
    small.train()(torch.randn(3, *SHAPE)).square().sum().backward()
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []


def test_a_saved_plan_makes_the_same_layer_of_a_fresh_one():
    planned, small = cut(networks.randomised(deep_lstm()), {"embed": [0], "layer": [1, 5]})
    fresh = carry_out(Plan.from_json(planned.plan.to_json()), deep_lstm())
    fresh.load_state_dict(small.state_dict())
    x = torch.randn(3, *SHAPE)
    assert torch.equal(fresh(x), small(x))


def test_a_learned_state_and_last_states_follow():
    model = networks.randomised(LearnedState())
    graph = build_graph(model, SHAPE)
    planned, small = cut(model, {"layer": [0, 6]})
    assert small.begin.shape == (1, 1, 6)
    assert planned.protected == {}
    assert verify(graph, model, small, {"layer": [0, 6]}).equivalent


def test_channels_that_are_images_to_a_layer_leave_without_it():
    model = networks.randomised(ChannelByChannel())
    graph = build_graph(model, (3, 8, 8))
    assert {group.name: group.channels for group in graph.prunable}["stem"] == 6
    planned = make_plan(graph, {"stem": [2, 3]})
    small = carry_out(planned.plan, copy.deepcopy(model))
    assert small.linear.weight.shape == (5, 16)
    assert verify(graph, model, small, {"stem": [2, 3]}).equivalent


def test_channels_that_are_steps_in_time_stay():
    class ChannelsInTime(networks.Plain):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(64, 6, batch_first=True)

        def forward(self, x):
            return self.head.linear(self.layer(self.conv1(x).flatten(2))[0].mean(1))

    groups = {group.name: group.reason for group in build_graph(ChannelsInTime(), (3, 8, 8)).groups}
    assert groups["conv1"] == "in order of time"
    assert groups["layer"] is None


def test_as_many_hidden_units_as_the_projection_gives_cannot_be_left():
    model = networks.randomised(Recurrent(nn.LSTM(10, 8, proj_size=4), 4))
    planned, small = cut(model, {"layer": [0, 1, 2, 3]})
    assert "projects to fewer numbers" in planned.protected["layer"]
    assert small.layer.hidden_size == 8


def test_what_a_hidden_unit_saves_is_what_its_cut_saves():
    model = deep_lstm()
    graph = build_graph(model, SHAPE)
    layer = next(layer for layer in graph.layers if layer.name == "layer")
    saved = channel_cost(graph, layer)
    _, small = cut(model, {"layer": [3]})
    assert macs_left(graph, {"layer": [3]}) == measure(small, SHAPE).macs
    assert saved.macs == measure(model, SHAPE).macs - measure(small, SHAPE).macs
    assert saved.params == sum(p.numel() for p in model.parameters()) - sum(
        p.numel() for p in small.parameters()
    )


@pytest.mark.parametrize("training", [False, True])
def test_a_wrong_row_in_one_gate_is_found(training):
    model = networks.randomised(deep_lstm())
    graph = build_graph(model, SHAPE)
    planned, small = cut(model, {"layer": [3]})
    name = "weight_hh_l1_reverse"
    with torch.no_grad():  # row 3 of the second gate stays, row 2 leaves
        kept = [row for row in range(32) if row not in {3, 10, 19, 27}]
        columns = [0, 1, 2, 4, 5, 6, 7]
        small.layer.get_parameter(name).copy_(model.layer.get_parameter(name)[kept][:, columns])
    assert not verify(graph, model, small.train(training), {"layer": [3]}).equivalent
    assert planned.protected == {}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (nn.LSTM, {}),
        (nn.GRU, {}),
        (nn.RNN, {"nonlinearity": "relu"}),
        (nn.RNN, {"bias": False}),
        (nn.LSTM, {"proj_size": 2}),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_one_operation_gives_what_torch_gives_and_lies_in_memory_alike(
    kind, settings, bidirectional, batch_first
):
    layer = kind(3, 4, 2, batch_first=batch_first, bidirectional=bidirectional, **settings).eval()
    x = torch.randn(5, 6, 3)
    with torch.no_grad():
        expected = pytree.tree_leaves(layer(x))
        with recurrent_layers_whole(layer):
            found = pytree.tree_leaves(layer(x))
            shapes = pytree.tree_leaves(layer.to("meta")(x.to("meta")))
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))
    assert [each.shape for each in shapes] == [each.shape for each in expected]
    assert [each.stride() for each in shapes] == [each.stride() for each in expected]
