"""The soft family: one rule, known ends of it, and removal that computes what the silent network computes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import networks
import pytest
import torch
from torch import nn

from prunecli.allocation.choosing import allocate
from prunecli.data import Split, TrainingData
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.contract import STRATEGIES, PruningTask
from prunecli.strategies.hardness import HardnessRule, constant
from prunecli.strategies.parts import Parts
from prunecli.strategies.procedures.in_training import SoftPruning, prune_in_training
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


FAMILY = ("hfp", "sfp", "asfp", "srfp", "asrfp", "ghfp", "one-cycle", "agp")
SFP = Parts(schedule="one-shot", hardness="zeroed")


def task(parts=SFP, *, epochs=4, ratio=0.5, sign=1.0):
    model = networks.randomised(Small())
    graph = build_graph(model, (1, 8, 8))

    def rank(network):
        filters = score_filters(network, graph, ["l2"])
        found = score_groups(graph.prunable, graph.layers, filters, "l2")
        scores = {name: sign * values for name, values in found.items()}
        return lambda share, first=None: allocate(graph, scores, ratio=ratio * share, first=first)

    def after(network):
        raise AssertionError("a soft strategy cuts once")

    settings = FitSettings(epochs=epochs, batch_size=20, lr=0.05)
    return PruningTask(
        model=model,
        graph=graph,
        ratio=ratio,
        rank=rank,
        after=after,
        rank_by=lambda network, criteria: {},
        parts=parts,
        data=DATA,
        settings=settings,
    )


def begun(parts, *, epochs=4):
    """A task and its pruning, begun with three steps an epoch; nothing is pruned yet."""
    given = task(parts, epochs=epochs)
    pruning = SoftPruning(given, epochs)
    pruning._plan(3)
    return given, pruning


@pytest.mark.parametrize("name", FAMILY)
def test_the_whole_ratio_leaves_and_the_cut_network_computes_the_same(name):
    outcome = STRATEGIES[name].function(task(STRATEGIES[name].parts))
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


def states(parts):
    outcome = prune_in_training(task(parts))
    return outcome.reference.state_dict(), outcome.planned.plan


def same(first, second):
    return first[1] == second[1] and all(torch.equal(t, second[0][n]) for n, t in first[0].items())


def preset(name):
    return STRATEGIES[name].parts


def with_rule(monkeypatch, *, alpha, share_hard):
    rule = HardnessRule(constant(alpha), constant(share_hard))
    monkeypatch.setattr("prunecli.strategies.procedures.in_training.hardness_rule", lambda *_, **__: rule)


def test_ghfp_without_hardness_is_sfp_bit_for_bit(monkeypatch):
    sfp, ghfp = states(preset("sfp")), states(preset("ghfp"))
    assert not same(ghfp, sfp)
    with_rule(monkeypatch, alpha=0.0, share_hard=0.0)
    assert same(states(Parts(schedule="one-shot", hardness="gradual")), sfp)


def test_ghfp_with_full_hardness_is_hfp_bit_for_bit(monkeypatch):
    hfp = states(preset("hfp"))
    with_rule(monkeypatch, alpha=0.0, share_hard=1.0)
    assert same(states(Parts(schedule="one-shot", hardness="gradual")), hfp)


def test_hard_filters_never_come_back_and_soft_ones_do():
    for name, comes_back in (("hfp", False), ("sfp", True)):
        given, pruning = begun(preset(name))
        pruning.prune(given.model, 0)
        first = pruning.allocation.removed["conv1"]
        with torch.no_grad():
            given.model.conv1.weight[list(first)] += 100.0
        pruning.harden()
        pruning.prune(given.model, 1)
        assert (set(first) != set(pruning.allocation.removed["conv1"])) == comes_back


def test_hard_filters_stay_chosen_by_a_criterion_that_scores_zeros_high():
    given = task(preset("hfp"), sign=-1.0)
    pruning = SoftPruning(given, 4)
    pruning.begin(given.model, 3)
    first = pruning.allocation.removed
    pruning.prune(given.model, 1)
    assert pruning.allocation.removed == first


def test_a_step_of_the_optimiser_does_not_revive_hard_filters():
    given, pruning = begun(preset("hfp"))
    pruning.prune(given.model, 0)
    gone = list(pruning.allocation.removed["conv1"])
    with torch.no_grad():
        given.model.conv1.weight.add_(1.0)
        given.model.bn1.bias.add_(1.0)
    pruning.after_step(given.model, 0)
    assert not given.model.conv1.weight[gone].any()
    assert not given.model.bn1.bias[gone].any()
    assert given.model.bn1.bias.count_nonzero() == 4


def test_alpha_scales_what_is_pruned_and_nothing_else():
    given, pruning = begun(Parts(schedule="one-shot", hardness="decayed", alpha=0.25))
    before = copy.deepcopy(given.model)
    pruning.prune(given.model, 0)
    gone = pruning.allocation.removed["conv1"]
    for index in range(8):
        factor = 0.25 if index in gone else 1.0
        assert torch.equal(given.model.conv1.weight[index], before.conv1.weight[index] * factor)
    assert torch.equal(given.model.bn1.weight, before.bn1.weight)


def test_alpha_of_one_prunes_nothing_until_the_end(monkeypatch):
    with_rule(monkeypatch, alpha=1.0, share_hard=0.0)
    given, pruning = begun(Parts(schedule="one-shot", hardness="decayed"))
    before = copy.deepcopy(given.model.state_dict())
    pruning.prune(given.model, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.model.state_dict().items())
    pruning.prune(given.model, 3)
    assert not given.model.conv1.weight[list(pruning.allocation.removed["conv1"])].any()


def test_every_so_many_steps_the_filters_are_ranked_anew(monkeypatch):
    points = []
    monkeypatch.setattr(SoftPruning, "prune", lambda self, model, point: points.append(point))
    given = task(epochs=2)
    pruning = SoftPruning(replace(given, parts=replace(preset("agp"), prune_every=2)), 2)
    pruning.begin(given.model, 5)  # ten steps in all: after 2, 4, 6, 8, and at the end
    for step in range(10):
        pruning.after_step(given.model, step)
        if step % 5 == 4:
            pruning.after_epoch(given.model, step // 5)
    assert points == [0, 1, 2, 3, 4]


def test_it_goes_on_from_its_state():
    given, pruning = begun(preset("ghfp"), epochs=10)
    pruning.prune(given.model, 5)
    hard = [(axis, places.tolist()) for _, axis, places in pruning._hard]
    again = SoftPruning(given, 10)
    again.restore(given.model, json.loads(json.dumps(pruning.state())))
    assert hard
    assert [(axis, places.tolist()) for _, axis, places in again._hard] == hard
    assert again.shares == pruning.shares
    pruning.prune(given.model, 6)
    again.prune(given.model, 6)
    assert again.allocation == pruning.allocation


def test_without_epochs_it_cannot_be():
    with pytest.raises(WrongUse, match="while the network trains"):
        prune_in_training(replace(task(), settings=None))


def test_an_average_of_the_weights_is_refused():
    given = task()
    with pytest.raises(WrongUse, match="average of the weights"):
        prune_in_training(replace(given, settings=replace(given.settings, ema_decay=0.9)))


def test_bites_and_what_leaves_in_the_end_do_not_mix():
    for wrong in ({"schedule": "blocks"}, {"trigger": "never"}):
        with pytest.raises(WrongUse):
            Parts(**{"schedule": "one-shot", "hardness": "masked", **wrong})
