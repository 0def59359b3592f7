"""Every kind of coupling: cut half of every group, and the result is the masked original, in both modes."""

from __future__ import annotations

import copy

import networks
import numpy as np
import pytest
import torch
from torch import nn

from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify


def half_of_every_group(graph, seed=0):
    generator = np.random.default_rng(seed)
    return {
        group.name: sorted(generator.permutation(group.channels)[: group.channels // 2].tolist())
        for group in graph.prunable
    }


def cut_in_half(model):
    graph = build_graph(model, (3, 8, 8))
    planned = make_plan(graph, half_of_every_group(graph))
    removed = {group.name: group.removed for group in planned.plan.groups}
    return graph, planned, removed, carry_out(planned.plan, copy.deepcopy(model))


@pytest.mark.parametrize("network", networks.PRUNED_EVERYWHERE, ids=lambda network: network.__name__)
def test_the_cut_network_is_the_masked_original(network):
    model = networks.randomised(network())
    graph, planned, removed, cut = cut_in_half(model)
    assert removed
    assert not planned.protected
    found = verify(graph, model, cut, removed)
    assert found.equivalent, found
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("network", networks.PRUNED_EVERYWHERE, ids=lambda network: network.__name__)
def test_the_cut_network_trains(network):
    *_, cut = cut_in_half(networks.randomised(network()))
    result = cut.train()(torch.randn(4, 3, 8, 8))
    outputs = (
        result.values() if isinstance(result, dict) else result if isinstance(result, tuple) else [result]
    )
    sum(output.square().sum() for output in outputs).backward()
    assert [name for name, parameter in cut.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("network", "removed", "attributes"),
    [
        (networks.PaddedShortcut, {"down": [0, 2]}, {("shortcut", "before"): 1, ("shortcut", "after"): 1}),
        (networks.PaddedShortcut, {"down": [2, 3]}, {("shortcut", "after"): 0}),
        (networks.FusedAttention, {"qkv": [0, 1, 7]}, {("", "heads"): 5}),
        (networks.Depthwise, {"expand": [3]}, {("depthwise", "groups"): 7}),
        (networks.LayerNorm, {"stem": [0, 7]}, {("norm", "normalized_shape"): (6,)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_integers_follow(network, removed, attributes):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    planned = make_plan(graph, removed)
    cut = carry_out(planned.plan, copy.deepcopy(model))
    changes = {(change.module, change.attribute): change.after for change in planned.plan.attributes}
    for (module, attribute), after in attributes.items():
        assert changes[module, attribute] == after
        assert getattr(cut.get_submodule(module), attribute) == after


def test_a_number_that_cannot_follow_protects_its_channels_and_the_rest_is_cut():
    model = networks.randomised(networks.LiteralPad())
    graph, planned, removed, cut = cut_in_half(model)
    assert list(planned.protected) == ["down"]
    assert "a fixed 2 to aten.constant_pad_nd where 0" in planned.protected["down"]
    assert list(removed) == ["stem"]
    assert verify(graph, model, cut, removed).equivalent


def test_a_constant_that_depends_on_the_width_is_kept_by_the_weights_before_it():
    model = networks.randomised(networks.ScaledByWidth())
    graph, planned, removed, cut = cut_in_half(model)
    assert planned.protected == {}
    assert [each.tensor for each in planned.plan.scalings] == ["qkv.weight", "qkv.bias"]
    assert verify(graph, model, cut, removed, scalings=planned.plan.scalings).equivalent


def test_shared_weights_stay_shared():
    *_, cut = cut_in_half(networks.randomised(networks.TiedWeights()))
    assert cut.first.weight is cut.again.weight
    assert cut.first.weight.shape == (3, 4)


def test_a_frozen_parameter_stays_frozen():
    model = networks.randomised(networks.Plain())
    model.conv1.weight.requires_grad_(False)
    *_, cut = cut_in_half(model)
    assert not cut.conv1.weight.requires_grad
    assert cut.conv2.weight.requires_grad


def test_attributes_of_layers_say_their_shapes():
    *_, cut = cut_in_half(networks.randomised(networks.Depthwise()))
    for module in cut.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_features == len(module.weight)
