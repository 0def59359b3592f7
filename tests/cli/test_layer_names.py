"""What the shell completes: names of layers from a file, of architectures, and nothing where that fails."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from prunecli.cli.layer_names import layers, layers_with_ratio, names_in
from prunecli.cli.names import architectures

STATE = {
    "module.stem.weight": torch.zeros(4, 3, 1, 1),
    "module.norm.weight": torch.zeros(4),
    "module.head.weight": torch.zeros(2, 4),
    "module.head.bias": torch.zeros(2),
}


class Line:
    """What of click's context is asked for."""

    def __init__(self, **params):
        self.params = params


@pytest.fixture(autouse=True)
def nothing_typed(monkeypatch):
    monkeypatch.delenv("COMP_WORDS", raising=False)
    monkeypatch.delenv("_TYPER_COMPLETE_ARGS", raising=False)


def test_names_of_a_safetensors_file(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    assert sorted(names_in(tmp_path / "a.safetensors")) == ["head", "stem"]


def test_names_of_a_torch_file(tmp_path):
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "a.pt")
    assert names_in(tmp_path / "a.pt") == ["stem", "norm", "head"]


def test_layers_begin_as_typed(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    line = Line(checkpoint=str(tmp_path / "a.safetensors"))
    assert layers(line, "st") == ["stem"]
    assert layers_with_ratio(line, "he") == ["head="]
    assert layers(Line(checkpoint=[str(tmp_path / "a.safetensors")]), "h") == ["head"]


def test_the_checkpoint_is_found_among_the_words_typed(tmp_path, monkeypatch):
    save_file(STATE, tmp_path / "a b.safetensors")
    monkeypatch.setenv("COMP_WORDS", f"prunecli prune '{tmp_path}/a b.safetensors' --protect s")
    assert layers(Line(), "s") == ["stem"]
    monkeypatch.setenv("COMP_WORDS", f"prunecli prune --ratio 0.5 '{tmp_path}/a b.safetensors' --protect s")
    assert layers(Line(), "s") == ["stem"]


def test_without_a_checkpoint_the_sample_is_asked(monkeypatch):
    assert "layer1.0.conv1" in layers(Line(), "layer1")
    monkeypatch.setenv("COMP_WORDS", "prunecli prune 'open quote")
    assert "layer1.0.conv1" in layers(Line(), "layer1")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no archive", b"\x10\0\0\0\0\0\0\0not JSON at all", b"\xff" * 9]
)
def test_what_cannot_be_read_offers_nothing(tmp_path, content):
    (tmp_path / "bad").write_bytes(content)
    assert layers(Line(checkpoint=str(tmp_path / "bad")), "") == []
    assert layers(Line(checkpoint=str(tmp_path / "absent")), "") == []


def test_architectures_are_offered_source_by_source():
    assert "cifar/" in architectures("")
    assert architectures("cif") == ["cifar/"]
    assert "cifar/resnet20" in architectures("cifar/resnet2")
    assert all(name.startswith("torchvision/vgg1") for name in architectures("torchvision/vgg1"))


def test_neither_needs_torch():
    code = (
        "import sys; from prunecli.cli.layer_names import names_in;"
        "from prunecli.cli.names import architectures;"
        "from prunecli.checkpoints import default_sample;"
        "assert names_in(default_sample()) and architectures('cifar/');"
        "assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
