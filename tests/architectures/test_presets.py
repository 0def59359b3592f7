"""The tables of the cifar and digits sources, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from prunecli.architectures import build, example_input, known_names, resolve
from prunecli.errors import WrongUse

OWN = [name for name in known_names() if name.split("/")[0] in ("cifar", "digits")]


def test_the_promised_networks_are_there():
    thin = {f"cifar/resnet{depth}" for depth in (20, 32, 44, 56, 110)}
    others = {"cifar/vgg16_bn", "cifar/densenet40", "cifar/mobilenet_v2", "cifar/googlenet"}
    digits = {"digits/resnet8", "digits/vgg6_bn", "digits/mobilenet"}
    assert thin | others | digits <= set(OWN)


@pytest.mark.parametrize("name", OWN)
def test_every_preset_runs_on_its_input_shape(name):
    architecture = resolve(name, arguments={"num_classes": 7})
    network = build(architecture, device="meta")
    assert network(example_input(architecture, batch=2, device="meta")).shape == (2, 7)
    assert not network.training


@pytest.mark.parametrize("name", [name for name in OWN if name.startswith("digits/")])
def test_digit_networks_are_small(name):
    architecture = resolve(name)
    assert architecture.input_shape == (1, 8, 8)
    size = sum(parameter.numel() for parameter in build(architecture, device="meta").parameters())
    assert 20_000 <= size <= 120_000


def test_arguments_and_defaults_are_recorded():
    architecture = resolve("cifar/resnet20", arguments={"shortcut": "project"})
    assert architecture.arguments == {"num_classes": 10, "in_channels": 3, "shortcut": "project"}
    assert "layer2.0.shortcut.0.weight" in build(architecture, device="meta").state_dict()


def test_channels_come_from_the_input_shape():
    architecture = resolve("cifar/resnet20", input_shape=(1, 28, 28))
    assert (architecture.arguments["in_channels"], architecture.input_shape) == (1, (1, 28, 28))
    assert build(architecture, device="meta").conv1.weight.shape == (16, 1, 3, 3)


def test_input_shape_comes_from_the_channels():
    assert resolve("cifar/vgg16_bn", arguments={"in_channels": 1}).input_shape == (1, 32, 32)


def test_contradicting_channels_are_refused():
    with pytest.raises(WrongUse, match="in_channels is 3"):
        resolve("cifar/resnet20", arguments={"in_channels": 3}, input_shape=(1, 32, 32))


def test_unknown_arguments_and_values_are_refused():
    with pytest.raises(WrongUse) as refused:
        build(resolve("cifar/resnet20", arguments={"shortcuts": "pad"}))
    assert refused.value.hints[0] == "did you mean 'shortcut'?"
    with pytest.raises(WrongUse, match="valid: pad, project"):
        build(resolve("cifar/resnet20", arguments={"shortcut": "none"}))


def test_widths_are_arguments():
    architecture = resolve("cifar/resnet20", arguments={"widths": [8, 16, 32]})
    network = build(architecture)
    assert network.linear.in_features == 32
    with torch.no_grad():
        assert network(example_input(architecture)).shape == (1, 10)
