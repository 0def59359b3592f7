"""What a file says of its network is believed within bounds, and nothing is fetched for it."""

from __future__ import annotations

import socket

import pytest
import torch

from prunecli.architectures import Architecture, build, build_described
from prunecli.architectures.described import Allowance, Extent
from prunecli.errors import InputRefused

KNOWN = Architecture("digits/vgg6_bn", {"num_classes": 10, "in_channels": 1}, (1, 8, 8))


def shapes_of(architecture):
    return [tuple(tensor.shape) for tensor in build(architecture).state_dict().values()]


def test_a_true_description_is_built():
    found = build_described(KNOWN, shapes_of(KNOWN))
    assert [tuple(tensor.shape) for tensor in found.state_dict().values()] == shapes_of(KNOWN)
    assert not found.training


def test_it_is_built_on_meta_too():
    with torch.device("meta"):
        assert build_described(KNOWN, shapes_of(KNOWN)).classifier.weight.is_meta


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_classes": 1_000_000}, "far larger"),
        ({"num_classes": 1 << 40}, "is believed"),
        ({"stages": [[1, 1]] * 3000}, "far larger"),
        ({"stages": [[1, 1]] * 20_000}, "arguments"),
        ({"num_classes": "ten"}, "cannot be built: TypeError"),
        ({"num_classes": -1}, "cannot be built: RuntimeError"),
        ({"num_clases": 10}, "no argument 'num_clases'"),
        ({"stages": [{"_hidden": 1}]}, "no builder takes '_hidden'"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, words):
    architecture = Architecture(KNOWN.name, {**KNOWN.arguments, **arguments}, KNOWN.input_shape)
    with pytest.raises(InputRefused, match=words):
        build_described(architecture, shapes_of(KNOWN))


@pytest.mark.parametrize(
    "name",
    [
        "timm/hf-hub:some/where",
        "timm/hf_hub:some/where",
        "timm/local-dir:/tmp",
        "timm/no_such",
        "digits/",
        "os/system",
    ],
)
def test_an_unknown_name_is_refused_and_nobody_is_asked(name, monkeypatch):
    def asked(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    with pytest.raises(InputRefused, match="unknown architecture"):
        build_described(Architecture(name, {}, (3, 8, 8)), [(4, 4)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(1 << 12, 1 << 12),
        lambda: torch.arange(1 << 24),
        lambda: torch.linspace(0, 1, 1 << 24),
    ],
    ids=["zeros", "arange", "linspace"],
)
def test_a_tensor_that_is_too_large_is_never_made(make):
    with Allowance(Extent.of([(4, 4)])), pytest.raises(InputRefused):
        make()
    with Allowance(Extent.of([(4096, 4096)])):
        assert make().numel() == 1 << 24
