"""Building: meta and CPU, with and without initialisation, and constructors that read values."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from prunecli.architectures import Architecture, Provider, build, example_input, resolve
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.errors import WrongUse


class ReadsValues(nn.Module):
    """A constructor that needs numbers, as RegNet's does, and keeps a table that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        widths = (torch.arange(1, 4) * 2).tolist()
        self.linear = nn.Linear(widths[0], widths[2])
        self.register_buffer("table", torch.arange(3.0), persistent=False)
        self.register_buffer("noise", torch.zeros(9).uniform_(1, 2), persistent=False)


class Reading(Provider):
    def names(self):
        return {"net": "reads values"}

    def build(self, name, arguments):
        return ReadsValues()


@pytest.fixture
def reading(monkeypatch):
    assert "reading" not in PROVIDERS
    monkeypatch.setitem(PROVIDERS._members, "reading", Reading())
    return resolve("reading/net")


def test_meta_works_for_constructors_that_read_values(reading):
    network = build(reading, device="meta")
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert network.linear.weight.shape == (6, 2)


def test_skipping_initialisation_keeps_computed_buffers(reading):
    network = build(reading, initialise=False)
    assert network.table.tolist() == [0.0, 1.0, 2.0]
    assert 1 <= network.noise.min() < network.noise.max() <= 2


def test_meta_holds_no_memory():
    network = build(resolve("cifar/vgg16_bn"), device="meta")
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}


def test_cpu_weights_are_random_and_finite():
    torch.manual_seed(0)
    first, second = (build(resolve("digits/resnet8")) for _ in range(2))
    assert not torch.equal(first.conv1.weight, second.conv1.weight)
    assert all(torch.isfinite(tensor).all() for tensor in first.state_dict().values())


def test_skipping_initialisation_draws_no_random_parameters():
    state = torch.get_rng_state()
    network = build(resolve("digits/vgg6_bn"), initialise=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.features[1].running_var.tolist() == [1.0] * 16


def test_skipped_and_initialised_networks_agree_once_loaded():
    architecture = resolve("digits/mobilenet")
    full, empty = build(architecture), build(architecture, initialise=False)
    empty.load_state_dict(full.state_dict())
    x = example_input(architecture, batch=2)
    with torch.no_grad():
        assert torch.equal(full(x), empty(x))


def test_unknown_source_is_refused_with_what_is_valid():
    with pytest.raises(WrongUse, match="unknown architecture source 'cifra'"):
        build(Architecture("cifra/resnet20"))


def test_example_inputs_are_images_or_tokens():
    assert example_input(resolve("digits/resnet8"), batch=3).shape == (3, 1, 8, 8)
    tokens = example_input(Architecture("x/text", {}, (6,)), batch=2)
    assert (tokens.shape, tokens.dtype) == ((2, 6), torch.int64)


def test_building_on_meta_does_not_import_the_compiler():
    code = (
        "import sys; from prunecli.architectures import build, resolve;"
        "build(resolve('cifar/resnet20'), device='meta');"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
