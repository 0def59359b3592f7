"""Looks at a network that is cut block by block: the figures of whole passes, with less computed for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from quarter_of_digits import quarter_of_digits

from prunecli.strategies.bites import Bite
from prunecli.strategies.procedures import judging, stepwise
from prunecli.strategies.procedures.blocks import blocks_of
from prunecli.strategies.procedures.foresight import coming_changes
from prunecli.strategies.procedures.judging import Judging
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.strategies.procedures.stretch import Stretch
from prunecli.surgery.plan import AttributeChange, Cut, Plan, Scaling
from prunecli.training.evaluation import evaluate
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune


class _End(Exception):
    pass


@pytest.fixture(scope="module")
def task():
    """ICE's task on the inner channels of the bundled network."""
    opened, held = open_checkpoint(Opening()), []

    def hold(task):
        held.append(task)
        raise _End

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepwise, "bite_by_bite", hold)
        asked = {"opened": opened, "images": quarter_of_digits(opened), "residual": "inner"}
        with pytest.raises(_End):
            prune(Opening(), ratio=0.5, strategy="ice", **asked)
    return held[0]


@pytest.fixture
def stretch(task):
    return Stretch(task, blocks_of(task.graph))


def _whole(task, network):
    found = evaluate(network, task.data.validation, mean=task.settings.mean, std=task.settings.std)
    return found.accuracy


def _cut(stretch, name):
    return stretch.cut(next(each for each in blocks_of(stretch.task.graph) if each.name == name)).cut


@pytest.mark.parametrize("looks", [1, 8])
def test_every_look_gives_the_accuracy_of_a_whole_pass(task, stretch, monkeypatch, looks):
    monkeypatch.setattr(judging, "LOOKS", looks)
    judge = Judging(task)
    for block in ("layer1.0", "layer2.0", "layer3.0"):
        network = _cut(stretch, block)
        assert judge.accuracy(network, coming=stretch.coming) == _whole(task, network)


def test_what_no_coming_cut_changes_is_not_computed_again(task, stretch):
    judge, network = Judging(task), _cut(stretch, "layer1.0")
    first = judge.accuracy(network, coming=stretch.coming)
    with torch.no_grad():
        network.layer1[0].conv1.weight.fill_(float("nan"))
    assert judge.accuracy(network, coming=stretch.coming) == first
    judge.forget()
    assert judge.accuracy(network, coming=stretch.coming) < first


def test_a_training_of_the_network_is_seen(task, stretch):
    recovering, network = Recovering(replace(task, recalibrate=0)), _cut(stretch, "layer1.0")
    recovering.fall(network, coming=stretch.coming)
    recovering.train(network, Bite(ratio=0.5, share=1.0, epochs=1), 0, plan=None, done=0)
    dense = recovering.know_dense()
    assert recovering.fall(network, coming=stretch.coming) == dense - _whole(task, network)


def test_gradients_and_modes_are_as_they_were(task, stretch):
    network = _cut(stretch, "layer1.0").train()
    Judging(task).accuracy(network, coming=stretch.coming)
    assert network.training
    assert all(each.requires_grad for each in network.parameters())


def test_the_blocks_still_whole_are_what_changes(stretch):
    _cut(stretch, "layer1.0")
    _cut(stretch, "layer2.0")
    assert stretch.coming == {
        *(f"layer3.0.bn1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        "layer3.0.conv1.weight",
        "layer3.0.conv2.weight",
    }


CUT = Cut("a.weight", 0, 4, (1,))


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({"attributes": (AttributeChange("a", "out_channels", 4, 3),)}, {"a.weight"}),
        ({"attributes": (AttributeChange("outer", "width", 4, 3),)}, None),
        ({"scalings": (Scaling("b.weight", 0, (1,), 2.0),)}, None),
    ],
)
def test_where_more_than_a_layer_changes_nothing_is_known(more, known):
    assert coming_changes(Plan(), Plan(cuts=(CUT,), **more)) == known
