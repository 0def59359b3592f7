"""The user's own code, by "file.py:factory"."""

from __future__ import annotations

import pytest
import torch

from prunecli.architectures import Architecture, build, from_factory
from prunecli.errors import InputRefused, WrongUse

NET = """
from torch import nn
from widths import WIDTH

def make():
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.Flatten())

def needs_an_argument(width):
    return nn.Linear(width, width)

def gives_a_number():
    return 3
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "widths.py").write_text("WIDTH = 6\n")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_factory_gives_the_network_and_its_name(net):
    network, architecture = from_factory(f"{net}:make", input_shape=(3, 5, 5))
    assert architecture == Architecture(architecture.name, {}, (3, 5, 5))
    assert architecture.name.startswith("file/")
    assert architecture.name.endswith("net.py:make")
    assert from_factory(f"{net}:make", input_shape=(3, 5, 5))[1] == architecture
    assert network[0].out_channels == 6
    assert not network.training


def test_a_named_factory_can_be_built_again(net):
    _, architecture = from_factory(f"{net}:make", input_shape=(3, 5, 5))
    assert build(architecture, device="meta")(torch.empty(1, 3, 5, 5, device="meta")).shape == (1, 54)


def test_two_files_of_one_name_stay_apart(net, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "net.py").write_text("from torch import nn\ndef make():\n    return nn.Linear(2, 2)\n")
    _, first = from_factory(f"{net}:make", input_shape=(3, 5, 5))
    _, second = from_factory(f"{other / 'net.py'}:make", input_shape=(2,))
    assert first.name != second.name
    assert type(build(first)).__name__ == "Sequential"
    assert type(build(second)).__name__ == "Linear"


def test_a_checkpoint_cannot_name_code_to_run(net):
    with pytest.raises(InputRefused) as refused:
        build(Architecture(f"file/{net}:gives_a_number"))
    assert "not run by itself" in refused.value.hints[0]


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("net.py", WrongUse, "not of the form"),
        ("{folder}/absent.py:make", InputRefused, "no file"),
        ("{folder}/net.py:makes", InputRefused, "no function 'makes'"),
        ("{folder}/net.py:needs_an_argument", InputRefused, "missing 1 required"),
        ("{folder}/net.py:gives_a_number", InputRefused, "gave int"),
        ("{folder}/broken.py:make", InputRefused, "failed on import: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_a_factory_is_refused(net, spec, error, complaint):
    (net.parent / "broken.py").write_text("1 / 0\n")
    with pytest.raises(error, match=complaint):
        from_factory(spec.format(folder=net.parent), input_shape=(3, 5, 5))
