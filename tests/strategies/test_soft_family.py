"""The soft family: one rule, known ends of it, and removal that computes what the silent network computes."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from torch import nn

from prunecli.allocation.choosing import allocate
from prunecli.data import Split, TrainingData
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.contract import STRATEGIES, PruningTask
from prunecli.strategies.soft_family import PRESETS, SoftPruning, SoftRule, hooks_of, train_softly
from prunecli.strategies.soft_schedules import constant
from prunecli.surgery.verification import verify
from prunecli.training.settings import FitSettings


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(torch.relu(self.bn2(self.conv2(x))).mean((2, 3)))


def split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 3, 3)


DATA = TrainingData("made", split(60, 0), split(12, 1), ("a", "b", "c"), (0.5,), (0.5,))


def task(epochs=4, ratio=0.5):
    model = networks.randomised(Small())
    graph = build_graph(model, (1, 8, 8))

    def rank(network):
        filters = score_filters(network, graph, ["l2"])
        scores = score_groups(graph.prunable, graph.layers, filters, "l2")
        return lambda share: allocate(graph, scores, ratio=ratio * share)

    def after(network):
        raise AssertionError("a soft strategy cuts once")

    settings = FitSettings(epochs=epochs, batch_size=20, lr=0.05)
    return PruningTask(
        model=model, graph=graph, ratio=ratio, rank=rank, after=after, data=DATA, settings=settings
    )


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_whole_ratio_leaves_and_the_cut_network_computes_the_same(name):
    outcome = STRATEGIES[name].function(task())
    removed = {group.name: group.removed for group in outcome.planned.plan.groups}
    assert {group: len(gone) for group, gone in removed.items()} == {"conv1": 4, "conv2": 3}
    assert outcome.cut.conv1.weight.shape[0] == 4
    assert verify(
        build_graph(outcome.reference, (1, 8, 8)), outcome.reference, outcome.cut, removed
    ).equivalent
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():  # removed filters are silent: no mask is needed to see it
        assert torch.allclose(outcome.cut(x), outcome.reference(x), atol=1e-5)
    assert len(outcome.history) == 4


def states(rule):
    outcome = train_softly(task(), rule)
    return outcome.reference.state_dict(), outcome.planned.plan


def same(first, second):
    return first[1] == second[1] and all(torch.equal(t, second[0][n]) for n, t in first[0].items())


def test_ghfp_without_hardness_is_sfp_bit_for_bit():
    soft = SoftRule(constant(1.0), constant(0.0), constant(0.0))
    assert same(states(soft), states(PRESETS["sfp"]))
    assert not same(states(PRESETS["ghfp"]), states(PRESETS["sfp"]))


def test_ghfp_with_full_hardness_is_hfp_bit_for_bit():
    assert same(states(SoftRule(constant(1.0), constant(0.0), constant(1.0))), states(PRESETS["hfp"]))


def test_hard_filters_never_come_back_and_soft_ones_do():
    for name, comes_back in (("hfp", False), ("sfp", True)):
        given = task()
        pruning = SoftPruning(given, PRESETS[name], 4)
        pruning.prune(given.model, 0)
        first = pruning.allocation.removed["conv1"]
        with torch.no_grad():
            given.model.conv1.weight[list(first)] += 100.0
        pruning.harden()
        pruning.prune(given.model, 1)
        assert (set(first) != set(pruning.allocation.removed["conv1"])) == comes_back


def test_a_step_of_the_optimiser_does_not_revive_hard_filters():
    given = task()
    pruning = SoftPruning(given, PRESETS["hfp"], 4)
    pruning.prune(given.model, 0)
    gone = list(pruning.allocation.removed["conv1"])
    with torch.no_grad():
        given.model.conv1.weight.add_(1.0)
        given.model.bn1.bias.add_(1.0)
    hooks_of(pruning).after_step(given.model)
    assert not given.model.conv1.weight[gone].any()
    assert not given.model.bn1.bias[gone].any()
    assert given.model.bn1.bias.count_nonzero() == 4


def test_alpha_scales_what_is_pruned_and_nothing_else():
    given = task()
    before = copy.deepcopy(given.model)
    pruning = SoftPruning(given, SoftRule(constant(1.0), constant(0.25), constant(0.0)), 4)
    pruning.prune(given.model, 0)
    gone = pruning.allocation.removed["conv1"]
    for index in range(8):
        factor = 0.25 if index in gone else 1.0
        assert torch.equal(given.model.conv1.weight[index], before.conv1.weight[index] * factor)
    assert torch.equal(given.model.bn1.weight, before.bn1.weight)


def test_alpha_of_one_prunes_nothing_until_the_end():
    given = task()
    before = copy.deepcopy(given.model.state_dict())
    pruning = SoftPruning(given, SoftRule(constant(1.0), constant(1.0), constant(0.0)), 4)
    pruning.prune(given.model, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.model.state_dict().items())
    pruning.prune(given.model, 3)
    assert not given.model.conv1.weight[list(pruning.allocation.removed["conv1"])].any()
