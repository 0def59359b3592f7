"""The path of gates, against hooks that hold gates, and against what the sum of its integral has to be."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import Block, Tokens, classify, data, gathered, mean_loss, one_by_one, scene_of
from torch import nn

from prunecli.calibration.gate_path import STEPS, integrate_gates
from prunecli.criteria.contract import Needs


class SharedTanh(networks.SharedLayer):
    def __init__(self, act=None):
        super().__init__()
        self.act = act or nn.Tanh()

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = self.act(self.cell(x))
        return self.head(x)


def slow(model, module, channels, batches, *, axis=1):
    """The same integral: a hook that multiplies what `module` puts out, the midpoints of twenty steps."""
    model = copy.deepcopy(model).requires_grad_(False)
    total = torch.zeros(channels, dtype=torch.float64)
    for step in range(20):
        gate = torch.full((channels,), (2 * step + 1) / 40, dtype=torch.float64, requires_grad=True)
        shape = [1, -1, 1, 1] if axis == 1 else [-1]
        hook = model.get_submodule(module).register_forward_hook(
            lambda m, args, output, gate=gate, shape=shape: output * gate.reshape(shape)
        )
        total += torch.autograd.grad(mean_loss(model, batches), gate)[0] / 20
        hook.remove()
    return total


CASES = {
    "in place": (Block, "conv1", "relu1", 1),
    "overwritten by a sum": (Block, "conv2", "bn2", 1),
    "read twice": (Block, "stem", "stem", 1),
    "called three times": (SharedTanh, "cell", "act", 1),
    "called three times in place": (lambda: SharedTanh(nn.ReLU(inplace=True)), "cell", "act", 1),
    "tokens": (Tokens, "hidden", "act", -1),
    "vectors": (networks.Plain, "head.linear", "head.linear", -1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_integral_is_that_of_gates_in_hooks(case):
    make, layer, module, axis = CASES[case]
    scene = scene_of(make())
    found = gathered(scene, data(), Needs.GATE_PATH)[layer]["gate_path"]
    expected = slow(scene.model, module, len(found), data(), axis=axis)
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 1e-6


@pytest.mark.parametrize("make", [networks.Plain, networks.SqueezeExcite, networks.StridedHalves, SharedTanh])
def test_the_filters_of_a_layer_share_what_silencing_it_changes(make):
    scene = scene_of(make())
    found = integrate_gates(scene, data(), classify)
    for layer in ("stem", "conv1", "conv2", "head.linear"):
        if layer not in found:
            continue
        model = copy.deepcopy(scene.model)
        with torch.no_grad():  # no function of these networks makes anything of a silent layer
            for name in (f"{layer}.weight", f"{layer}.bias", *(["bn1.bias"] if layer == "conv1" else [])):
                if name in dict(model.named_parameters()):
                    model.get_parameter(name).zero_()
            if layer == "conv1":
                model.bn1.weight.zero_()
        change = mean_loss(scene.model, data()) - mean_loss(model, data())
        torch.testing.assert_close(found[layer].sum(), change.detach(), rtol=0.02, atol=2e-4)


def test_batches_change_nothing():
    scene = scene_of(Block())
    plain, alone = (integrate_gates(scene, batches, classify) for batches in (data(), one_by_one(data())))
    assert set(plain) == {"stem", "conv1", "conv2", "linear"}
    for layer, integral in plain.items():
        torch.testing.assert_close(alone[layer], integral)


def test_a_rectifier_whose_result_is_not_looked_at_is_gated_all_the_same():
    class Statement(Block):
        def forward(self, x):
            x = self.stem(x)
            y = self.bn1(self.conv1(x))
            torch.relu_(y)
            y = self.bn2(self.conv2(y))
            y += x
            return self.linear(self.relu2(y).mean((2, 3)))

    left, right = (integrate_gates(scene_of(make()), data(), classify) for make in (Block, Statement))
    for layer, integral in left.items():
        torch.testing.assert_close(right[layer], integral)


def test_a_network_that_writes_gated_maps_into_a_recorded_view_is_run_from_the_start():
    class IntoViews(networks.Plain):
        def forward(self, x):
            x = self.conv1(x)
            everything = x.view(-1)
            y = self.conv2(torch.relu(self.bn1(x.clone())))
            everything += y.mean()
            return self.head(self.conv2(x).relu() + y)

    class Plainly(networks.Plain):
        def forward(self, x):
            x = self.conv1(x)
            y = self.conv2(torch.relu(self.bn1(x)))
            return self.head(self.conv2(x + y.mean()).relu() + y)

    written, plain = (
        integrate_gates(scene_of(make()), one_by_one(data()), classify) for make in (IntoViews, Plainly)
    )
    for layer in ("conv2", "head.linear"):
        torch.testing.assert_close(written[layer], plain[layer])


def test_what_reaches_no_loss_has_no_slope():
    found = integrate_gates(scene_of(networks.TwoOutputs()), data(), classify)
    assert found["features"].tolist() == [0.0] * 6
    assert STEPS == 20
