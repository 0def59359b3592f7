"""Branches that lose channels on their own: proved against the masked whole, by every kind of block."""

from __future__ import annotations

import copy
from fractions import Fraction

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.cost.macs import measure
from prunecli.errors import InputRefused, WorkFailed
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Cut, Plan
from prunecli.surgery.planning import make_plan
from prunecli.surgery.scattering import SCATTER_INDEX, Scatter, drop_whole, scatterable, scatterable_for
from prunecli.surgery.verification import prove, verify

SHAPE = (3, 8, 8)


class Basic(nn.Module):
    """Two layers with batch norms, twice, around one stream."""

    def __init__(self):
        super().__init__()
        self.stem = networks.conv(3, 8)
        for name in ("a", "b"):
            self.add_module(f"{name}1", networks.conv(8, 8, bias=False))
            self.add_module(f"{name}1_bn", nn.BatchNorm2d(8))
            self.add_module(f"{name}2", networks.conv(8, 8, bias=False))
            self.add_module(f"{name}2_bn", nn.BatchNorm2d(8))
        self.head = networks.Head(8)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        x = functional.relu(x + self.a2_bn(self.a2(functional.relu(self.a1_bn(self.a1(x))))))
        x = functional.relu(x + self.b2_bn(self.b2(functional.relu(self.b1_bn(self.b1(x))))))
        return self.head(x)


class Bottleneck(nn.Module):
    """Three layers, the last of which widens; a projection begins the stream."""

    def __init__(self):
        super().__init__()
        self.narrow, self.narrow_bn = networks.conv(3, 4, 1), nn.BatchNorm2d(4)
        self.middle, self.middle_bn = networks.conv(4, 4), nn.BatchNorm2d(4)
        self.wide, self.wide_bn = networks.conv(4, 16, 1), nn.BatchNorm2d(16)
        self.short, self.short_bn = networks.conv(3, 16, 1), nn.BatchNorm2d(16)
        self.head = networks.Head(16)

    def forward(self, x):
        y = functional.relu(self.middle_bn(self.middle(functional.relu(self.narrow_bn(self.narrow(x))))))
        return self.head(functional.relu(self.wide_bn(self.wide(y)) + self.short_bn(self.short(x))))


class InvertedResidual(nn.Module):
    """A linear bottleneck behind a depthwise layer: no activation function before the sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_bn = networks.conv(3, 6), nn.BatchNorm2d(6)
        self.expand, self.expand_bn = networks.conv(6, 12, 1), nn.BatchNorm2d(12)
        self.depth, self.depth_bn = networks.conv(12, 12, groups=12), nn.BatchNorm2d(12)
        self.project, self.project_bn = networks.conv(12, 6, 1), nn.BatchNorm2d(6)
        self.head = networks.Head(6)

    def forward(self, x):
        x = self.stem_bn(self.stem(x))
        y = functional.relu6(self.depth_bn(self.depth(functional.relu6(self.expand_bn(self.expand(x))))))
        return self.head(x + self.project_bn(self.project(y)))


class Encoder(nn.Module):
    """A transformer block: attention and an MLP write into a stream of tokens."""

    def __init__(self):
        super().__init__()
        self.embed = networks.conv(3, 8, 1)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.scale = nn.Parameter(torch.ones(8))
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.scale * self.down(functional.gelu(self.up(self.norm2(x))))
        return self.head(x.mean(1))


BLOCKS = [
    (Basic, "stem", {"a2": "a2_bn", "b2": "b2_bn"}),
    (Bottleneck, "short", {"wide": "wide_bn"}),
    (InvertedResidual, "stem", {"project": "project_bn"}),
    (networks.Residual, "stem", {"outer": "outer"}),  # no batch norm behind the last layer
    (networks.PaddedShortcut, "stem", {"down": "bn"}),
    (Encoder, "embed", {"attention.out_proj": "attention", "down": "down"}),
]


def prepared(model):
    """The network with random weights, with all scatters, and its graph."""
    whole = networks.randomised(model)
    ready = scatterable(whole, build_graph(whole, SHAPE))
    return whole, ready, build_graph(ready, SHAPE)


def scattered(model, removed):
    """The same, with its plan and the cut network."""
    whole, ready, graph = prepared(model)
    plan = make_plan(graph, removed).plan
    return whole, ready, graph, plan, drop_whole(carry_out(plan, copy.deepcopy(ready)))


@pytest.mark.parametrize(("kind", "stream", "ends"), BLOCKS)
def test_with_all_channels_nothing_changes(kind, stream, ends):
    whole, ready, graph = prepared(kind())
    x = torch.randn(2, *SHAPE)
    assert torch.equal(whole(x), ready(x))
    assert list(ready.state_dict()) == list(whole.state_dict())
    assert all(one is other for one, other in zip(whole.parameters(), ready.parameters(), strict=True))
    prunable = {group.name for group in graph.prunable}
    assert set(ends) <= prunable
    assert stream not in prunable
    drop_whole(ready)
    assert not any(module._forward_hooks or SCATTER_INDEX in module._buffers for module in ready.modules())


@pytest.mark.parametrize(("kind", "stream", "ends"), BLOCKS)
def test_the_cut_network_computes_what_the_masked_one_does(kind, stream, ends):
    removed = dict.fromkeys(ends, (1, 2))
    whole, ready, graph, plan, cut = scattered(kind(), removed)
    assert {group.name for group in plan.groups} == set(ends)
    found = prove(graph, ready, cut, removed)
    assert found.max_rel_error <= 1e-12
    for layer, module in ends.items():
        width = whole.get_parameter(f"{layer}.weight").shape[0]
        assert cut.get_parameter(f"{layer}.weight").shape[0] == width - 2
        kept = [0, *range(3, width)]
        assert cut.get_submodule(module).get_buffer(SCATTER_INDEX).tolist() == kept
    assert cut.get_parameter(f"{stream}.weight").shape == whole.get_parameter(f"{stream}.weight").shape


def test_the_stream_gets_nothing_where_a_filter_left():
    """By hand: the shift of the batch norm goes with the filter, what else is added stays."""
    whole, _, _, _, cut = scattered(Basic(), {"b2": (0, 5)})
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        whole.b2_bn.weight[[0, 5]] = 0.0
        whole.b2_bn.bias[[0, 5]] = 0.0
    torch.testing.assert_close(cut(x), whole(x))


@pytest.mark.parametrize("model", [networks.Residual, Basic, Encoder])
def test_a_wrong_index_fails_the_proof(model):
    end = {networks.Residual: "outer", Basic: "a2", Encoder: "down"}[model]
    _, ready, graph, _, cut = scattered(model(), {end: (1, 2)})
    index = next(buffer for name, buffer in cut.named_buffers() if name.endswith(SCATTER_INDEX))
    index[0] = 1
    assert not verify(graph, ready, cut, {end: (1, 2)}).equivalent
    with pytest.raises(WorkFailed, match="does not compute what the masked original computes"):
        prove(graph, ready, cut, {end: (1, 2)})


def test_a_filter_taken_from_the_wrong_place_fails_the_proof():
    _, ready, graph, plan, _ = scattered(Basic(), {"a2": (1, 2)})
    cuts = [Cut(c.tensor, c.axis, c.size, (2, 3)) if c.tensor == "a2.weight" else c for c in plan.cuts]
    wrong = carry_out(Plan(tuple(cuts), plan.attributes, plan.groups), copy.deepcopy(ready))
    assert not verify(graph, ready, wrong, {"a2": (1, 2)}).equivalent


def test_the_plan_alone_scatters_the_empty_architecture():
    _, _, _, plan, cut = scattered(Basic(), {"a2": (0, 7), "b2": (3,), "a1": (1, 2, 3)})
    again = carry_out(Plan.from_json(plan.to_json()), Basic())
    assert [type(hook) for hook in again.a2_bn._forward_hooks.values()] == [Scatter]
    again.load_state_dict(cut.state_dict())
    x = torch.randn(2, *SHAPE)
    assert torch.equal(again.eval()(x), cut(x))
    assert torch.equal(copy.deepcopy(again)(x), cut(x))


def test_two_cuts_in_a_row_are_one_plan():
    whole, ready, _, first, _ = scattered(Basic(), {"a2": (0, 7)})
    smaller = carry_out(first, copy.deepcopy(ready))
    second = make_plan(build_graph(smaller, SHAPE), {"a2": (0,), "b2": (3,)}).plan
    in_turn = drop_whole(carry_out(second, smaller))
    at_once = carry_out(first.then(second), copy.deepcopy(whole))
    assert at_once.a2_bn.get_buffer(SCATTER_INDEX).tolist() == [2, 3, 4, 5, 6]
    x = torch.randn(2, *SHAPE)
    assert torch.equal(at_once(x), in_turn(x))


def test_a_stream_narrowed_first_is_scattered_into_as_it_is():
    model = networks.randomised(Basic())
    first = make_plan(build_graph(model, SHAPE), {"stem": (0, 1)}).plan
    narrow = carry_out(first, copy.deepcopy(model))
    ready = scatterable(narrow, build_graph(narrow, SHAPE))
    second = make_plan(build_graph(ready, SHAPE), {"a2": (0, 5)}).plan
    cut = carry_out(second, copy.deepcopy(ready))
    at_once = carry_out(first.then(second), copy.deepcopy(model))
    x = torch.randn(2, *SHAPE)
    assert torch.equal(at_once(x), cut(x))


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (Cut("c2_bn.scatter_index", 0, 8, (1,)), "scatters 'c2_bn', which is not there"),
        (Cut("a2_bn.scatter_index", 0, 9, (1,)), "9 channels of 'a2_bn', which has not so many"),
        (Cut("a2_bn.scatter_index", 1, 8, (1,)), "8 channels of 'a2_bn'"),
        (Cut("scatter_index", 0, 8, (1,)), "8 channels of ''"),
    ],
)
def test_a_scatter_that_cannot_be_is_refused_before_anything_changes(cut, words):
    model = Basic()
    for act in (carry_out, scatterable_for):
        with pytest.raises(InputRefused, match=words):
            act(Plan((cut,)), model)
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_reach_every_filter_that_is_left():
    *_, cut = scattered(Basic(), {"a2": (0, 7), "b2": (3,)})
    cut.train()(torch.randn(4, *SHAPE)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in cut.parameters())


def test_macs_of_resnet_20_by_arithmetic():
    model = build(resolve("cifar/resnet20"), initialise=False)
    shape = (3, 32, 32)
    ready = scatterable(model, build_graph(model, shape))
    graph = build_graph(ready, shape)
    leaving = {group.name: range(int(group.channels * Fraction(3, 10))) for group in graph.prunable}
    cut = drop_whole(carry_out(make_plan(graph, leaving).plan, copy.deepcopy(ready)))
    expected = 3 * 16 * 9 * 1024 + 640
    for before, width, kept, pixels in ((16, 16, 12, 1024), (16, 32, 23, 256), (32, 64, 45, 64)):
        expected += 9 * pixels * (before * kept + 2 * width * kept + 3 * kept * kept)
    assert measure(cut, shape).macs == expected
