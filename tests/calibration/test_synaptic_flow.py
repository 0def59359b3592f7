"""Synaptic flow, against products of matrices and sums over single weights."""

from __future__ import annotations

import copy

import networks
import pytest
import torch
from calibration.scenes import Block, classify, gathered, scene_of
from torch import nn

from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Scene
from prunecli.criteria.contract import Needs
from prunecli.graph.channel_graph import build_graph


def flow(model, shape=(3, 8, 8), *, randomise=True):
    scene = scene_of(model, shape=shape) if randomise else Scene(model, build_graph(model, shape), 0)
    found = gather(scene, (), classify, needs=Needs.SYNAPTIC_FLOW)
    return {layer: evidence.get("synaptic_flow") for layer, evidence in found.items()}


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 7)
        self.third = nn.Linear(7, 5)

    def forward(self, x):
        return self.third(torch.relu(self.second(torch.relu(self.first(x)))))


def test_a_perceptron_is_a_product_of_matrices():
    model = Perceptron()
    found = flow(model, (4,))
    a, b, c = (layer.weight.detach().abs() for layer in (model.first, model.second, model.third))
    ones = torch.ones(4, dtype=torch.float64)
    total = (c @ b @ a @ ones).sum()
    through_first = (a @ ones) * (c @ b).sum(0)  # of every hidden channel: all that goes through it
    through_second = (b @ a @ ones) * c.sum(0)
    # A filter takes its own row and its consumer's column along: what goes through a channel counts twice.
    torch.testing.assert_close(found["first"].double(), 2 * through_first / total, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["second"].double(), 2 * through_second / total, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["third"].double(), (c @ b @ a @ ones) / total, rtol=1e-5, atol=0)
    torch.testing.assert_close(through_first.sum(), total)


def test_a_residual_network_one_weight_at_a_time():
    model = networks.Residual()
    scene = scene_of(model)
    found = flow(model, randomise=False)

    def positive(change=None):
        network = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.abs_()
                if name.endswith("bias"):
                    parameter.zero_()
            if change is not None:
                name, place, factor = change
                network.get_parameter(name).view(-1)[place] *= factor
            return network(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum()

    whole = positive()

    def carried(name, places):
        """R is linear in a single weight: taking it away takes w ∂R/∂w."""
        return sum(float(whole - positive((name, place, 0.0))) for place in places)

    index = {
        name: torch.arange(parameter.numel()).reshape(parameter.shape)
        for name, parameter in model.named_parameters()
    }
    for channel in (0, 5):
        expected = carried("inner.weight", index["inner.weight"][channel].flatten().tolist())
        expected += carried("outer.weight", index["outer.weight"][:, channel].flatten().tolist())
        assert found["inner"][channel].item() == pytest.approx(expected / float(whole), rel=1e-5)
    slices = [("stem.weight", 0), ("outer.weight", 0), ("inner.weight", 1), ("head.linear.weight", 1)]
    expected = sum(carried(name, index[name].select(axis, 3).flatten().tolist()) for name, axis in slices)
    assert found["stem"][3].item() == pytest.approx(expected / float(whole), rel=1e-5)
    assert scene.graph.calling.inputs[0].shape == (3, 8, 8)


def test_a_batch_norm_is_its_scale():
    model = networks.Plain()
    scene_of(model)
    found = flow(model, randomise=False)
    norm = model.bn1
    with torch.no_grad():
        scale = norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
        first = torch.conv2d(torch.ones(1, 3, 8, 8, dtype=torch.float64), model.conv1.weight.abs(), padding=1)
        maps = first * scale[:, None, None]
        read = [
            (torch.conv2d(maps[:, [c]], model.conv2.weight[:, [c]].abs(), padding=1).mean((2, 3))
             @ model.head.linear.weight.abs().T).sum()
            for c in range(8)
        ]  # fmt: skip
    through = torch.stack(read)
    # The filter, its scale and its consumers' weights each carry what goes through the channel.
    torch.testing.assert_close(found["conv1"].double(), 3 * through / through.sum(), rtol=1e-5, atol=0)


def test_signs_shifts_and_statistics_do_not_matter():
    model = Block()
    scene_of(model)
    plain = flow(model, randomise=False)
    with torch.no_grad():
        model.conv1.weight.neg_()
        model.bn1.weight[2].neg_()
        for tensor in (model.bn1.running_mean, model.bn2.bias, model.stem.bias, model.linear.bias):
            tensor.uniform_(-9, 9)
    for layer, carried in flow(model, randomise=False).items():
        torch.testing.assert_close(carried, plain[layer])


def test_saturating_activations_hand_the_flow_on():
    class Clipped(Block):
        def __init__(self):
            super().__init__()
            self.relu1, self.relu2 = nn.ReLU6(inplace=True), nn.Hardswish()

    left, right = Block(), Clipped()
    right.load_state_dict(left.state_dict())
    for layer, carried in flow(left).items():
        torch.testing.assert_close(flow(right)[layer], carried)


def test_gates_are_open():
    found = flow(networks.SqueezeExcite())
    assert found["down"].tolist() == [0.0] * 4
    assert found["stem"].min() > 0


@pytest.mark.parametrize("make", [networks.LayerNorm, networks.GroupNorm, networks.TorchAttention])
def test_a_network_without_such_a_flow_is_left_out(make):
    assert set(flow(make()).values()) == {None}


def test_a_flow_beyond_double_precision():
    layers = [nn.Conv2d(3, 8, 3, padding=1), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(40))]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 5))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1e8)
    found = flow(model, randomise=False)
    total = torch.full((8,), 2 / 8)
    for layer in ("0", "1", "39"):
        torch.testing.assert_close(found[layer], total, rtol=1e-4, atol=0)


def test_no_image_is_needed_and_the_model_is_left_alone():
    scene = scene_of(Block())
    scene.model.train()
    before = {name: tensor.clone() for name, tensor in scene.model.state_dict().items()}
    found = gathered(scene, (), Needs.SYNAPTIC_FLOW)
    assert all(torch.isfinite(evidence["synaptic_flow"]).all() for evidence in found.values())
    assert all(torch.equal(before[name], tensor) for name, tensor in scene.model.state_dict().items())
    assert scene.model.training
