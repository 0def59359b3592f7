"""Silencing filters one by one, against networks in which nobody reads them."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import networks
import pytest
import torch
from calibration.scenes import Block, Tokens, classify, data, gathered, one_by_one, scene_of, whole
from torch import nn
from torch.nn import functional

from prunecli.calibration import resuming
from prunecli.calibration.ablation import ablate
from prunecli.calibration.resuming import Recording, gate_of
from prunecli.criteria.contract import Needs


def zeroed(*cuts):
    """A change of a model: (tensor, axis) are zeroed at the filter."""

    def change(model, filter_index):
        with torch.no_grad():
            for name, axis in cuts:
                model.get_parameter(name).select(axis, filter_index).zero_()

    return change


@torch.no_grad()
def slow(scene, change, filters, batches):
    """Increase of the mean loss and fall of the accuracy in points, on changed copies of the model."""
    images, labels = whole(batches)[0]
    before = classify(scene.model, images, labels)
    rows = []
    for index in range(filters):
        model = copy.deepcopy(scene.model)
        change(model, index)
        after = classify(model, images, labels)
        fall = 100 * (before.correct.double().mean() - after.correct.double().mean())
        rows.append([after.each.mean() - before.each.mean(), fall])
    return torch.tensor(rows, dtype=torch.float64).T


CASES = {
    "behind norm and rectifier": (networks.Plain, "conv1", zeroed(("conv2.weight", 1))),
    "read by the head": (networks.Plain, "conv2", zeroed(("head.linear.weight", 1))),
    "read by one layer": (networks.Residual, "inner", zeroed(("outer.weight", 1))),
    "before a sum": (networks.Residual, "outer", zeroed(("outer.weight", 0), ("outer.bias", 0))),
    "read twice": (networks.Residual, "stem", zeroed(("stem.weight", 0), ("stem.bias", 0))),
    "called three times": (networks.SharedLayer, "cell", zeroed(("cell.weight", 0), ("cell.bias", 0))),
    "the logits": (networks.Plain, "head.linear", zeroed(("head.linear.weight", 0), ("head.linear.bias", 0))),
    "tokens": (Tokens, "hidden", zeroed(("out.weight", 1))),
    "in place": (Block, "conv1", zeroed(("conv2.weight", 1))),
    "overwritten by a sum": (Block, "conv2", zeroed(("bn2.weight", 0), ("bn2.bias", 0))),
    "kept for a sum": (Block, "stem", zeroed(("stem.weight", 0), ("stem.bias", 0))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_silent_filter_is_one_that_nobody_reads(case):
    make, layer, change = CASES[case]
    scene = scene_of(make())
    found = gathered(scene, data(), Needs.ABLATION)[layer]["ablation"]
    loss, accuracy = slow(scene, change, len(found.loss), data())
    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(found.accuracy, accuracy)
    assert found.loss.abs().max() > 1e-6


@pytest.mark.parametrize(
    "make", [Block, networks.SharedLayer, networks.WrittenInPlace, networks.ChannelShuffle]
)
def test_batches_their_order_and_a_network_run_from_the_start_change_nothing(make, monkeypatch):
    scene = scene_of(make())
    plain = ablate(scene, data(), classify)
    others = [ablate(scene, batches, classify) for batches in (one_by_one(data()), whole(data())[::-1])]
    monkeypatch.setattr(resuming, "RECORDED_BYTES", 1)
    others.append(ablate(scene, data(), classify))
    monkeypatch.setattr(Recording, "_agrees", only_from_the_start(Recording._agrees))
    others.append(ablate(scene, data(), classify))
    assert set(plain) == set(scene.places)
    for other in others:
        for layer, evidence in plain.items():
            torch.testing.assert_close(other[layer].loss, evidence.loss)
            torch.testing.assert_close(other[layer].accuracy, evidence.accuracy)


def only_from_the_start(agrees):
    """As if a recorded pass could never be taken up."""

    def strict(recording, *args):
        return recording._from_start and agrees(recording, *args)

    return strict


def test_what_lies_before_a_layer_is_computed_once():
    scene = scene_of(Block())
    images, labels = data()[0]
    recording = Recording(scene, classify, images, labels)
    assert recording.layers == ["linear", "conv2", "conv1", "stem"]
    with torch.no_grad():
        scene.model.stem.weight.fill_(torch.nan)
        for layer in recording.layers[:-1]:
            gate = gate_of(
                torch.ones(scene.layers[layer].channels, dtype=torch.float64), scene.places[layer][0].axis
            )
            again = recording.run(layer, gate, lambda losses: losses.each)
            assert torch.equal(again, recording.losses.each)


def test_a_filter_that_is_silent_anyway_needs_no_pass():
    scene = scene_of(networks.Plain())
    passes = []

    def counted(model, images, labels):
        passes.append(len(labels))
        return classify(model, images, labels)

    ablate(scene, data(), counted)
    before = len(passes)
    with torch.no_grad():
        scene.model.bn1.bias[[1, 5]] = -1000
    passes.clear()
    found = ablate(scene, data(), counted)["conv1"]
    assert before - len(passes) == 4  # two filters, two batches
    assert found.loss[[1, 5]].tolist() == [0.0, 0.0]
    assert found.accuracy[[1, 5]].tolist() == [0.0, 0.0]


class Unseen(nn.Module):
    """Doubles a map in place where no torch function is seen: it cannot be taken up where it was left."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.conv2 = nn.Conv2d(8, 6, 3)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        y = self.conv1(x)
        z = functional.relu(self.conv2(functional.relu(y)))
        with unseen():
            y.mul_(2)
        return self.linear(z.mean((2, 3)) + y.mean((2, 3))[:, :6])


@contextmanager
def unseen():
    with torch._C.DisableTorchFunction():
        yield


def test_a_network_that_cannot_be_taken_up_is_run_from_the_start():
    scene = scene_of(Unseen())
    found = gathered(scene, data(), Needs.ABLATION)["conv2"]["ablation"]
    loss, _ = slow(scene, zeroed(("conv2.weight", 0), ("conv2.bias", 0)), 6, data())
    torch.testing.assert_close(found.loss, loss)


def test_a_network_that_goes_another_way_at_every_call_has_no_ablation():
    class Moody(networks.Plain):
        calls = 0

        def forward(self, x):
            self.calls += 1
            for _ in range(self.calls):
                x = x + 0
            return super().forward(x)

    assert ablate(scene_of(Moody()), data(), classify) == {}


def test_the_model_and_the_images_are_left_as_they_were():
    class Normalising(Block):
        def forward(self, x):
            x -= 0.25
            return super().forward(x)

    scene = scene_of(Normalising())
    before = {name: tensor.clone() for name, tensor in scene.model.state_dict().items()}
    batches = data()
    kept = [images.clone() for images, _ in batches]
    gathered(scene, batches, Needs.ABLATION | Needs.GATE_PATH | Needs.GATE_GRADIENT)
    assert all(torch.equal(before[name], tensor) for name, tensor in scene.model.state_dict().items())
    assert all(torch.equal(left, right) for left, (right, _) in zip(kept, batches, strict=True))


def test_progress_ends_where_all_is_done():
    scene = scene_of(networks.Plain())
    calls = []
    ablate(scene, data(), classify, lambda stage, done, total, figures: calls.append((stage, done, total)))
    assert {stage for stage, *_ in calls} == {"ablate"}
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert calls[-1][1] == calls[-1][2] == 5 * (8 + 6 + 5)
