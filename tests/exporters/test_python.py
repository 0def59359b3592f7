"""Python that needs torch alone: the names of the network, its outputs in both modes, readable text."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from exporters.tasks import SHAPE, Small, export
from torch import nn
from torch.nn import functional

from prunecli.errors import WorkFailed
from prunecli.exporters import python as python_exporter


def opened(path):
    spec = importlib.util.spec_from_file_location("written", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


class Nested(nn.Module):
    """A list of blocks, a residual, a dropout, a tied weight, a buffer that no state dict holds."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)) for _ in range(2)
        )
        self.gain = nn.Parameter(torch.rand(3, 1, 1))
        self.register_buffer("shift", torch.rand(3, 1, 1), persistent=False)
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.drop = nn.Dropout(0.5)

    def forward(self, x, scale=1.0):
        for block in self.blocks:
            x = functional.relu(block(x)) * self.gain + x * scale
        x = self.drop((x + self.shift).mean((2, 3)))
        return {"out": self.second(self.first(x)), "sizes": (x[:, :2], x.shape[0])}


class Deciding(Small):
    """Control flow on a value, which only torch.export's operators of one branch could stand for."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x


class Scaled(Small):
    """A size in Python arithmetic, and a function that asks for the mode."""

    def forward(self, x):
        x = functional.dropout(x, 0.5, self.training)
        height = int(x.shape[2] * 2)
        return super().forward(functional.interpolate(x, size=(height, height)))


def test_names_values_and_training_are_those_of_the_network(tmp_path):
    model, path = Nested(), tmp_path / "net.py"
    check = export("python", model, path)
    assert check.equivalent
    assert check.notes[0] == "computes the same in training mode"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.py", "net_weights.safetensors"]
    found = opened(path)
    assert list(found.state_dict()) == list(model.state_dict())
    assert found.second.weight is found.first.weight
    assert torch.equal(found.shift, model.shift)
    x = torch.randn(4, *SHAPE)
    assert torch.equal(found(x)["out"], model.eval()(x)["out"])
    assert found(x)["sizes"][1] == 4
    for each in (found.train(), model.train()):
        torch.manual_seed(3)
        each(x)["out"].sum().backward()
    assert torch.equal(found.blocks[0][0].weight.grad, model.blocks[0][0].weight.grad)
    assert torch.equal(found.blocks[1][1].running_mean, model.blocks[1][1].running_mean)


def test_the_text_is_the_network_as_one_would_write_it(tmp_path):
    export("python", Nested(), tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    for line in (
        '"0": nn.Conv2d(3, 3, 3, padding=1, bias=False),',
        "self.gain = nn.Parameter(torch.empty((3, 1, 1)))",
        "self.register_buffer('shift', torch.zeros((3, 1, 1), dtype=torch.float32), persistent=False)",
        "self.second.weight = self.first.weight",
        "x = self.blocks[0][0](input)",
        "x = x * self.gain",
        "# blocks.1",
        "network = load()  # for inference; network.train() goes on with training",
    ):
        assert line in {each.strip() for each in text.splitlines()}, line
    assert "prunecli" not in text


def test_what_symbolic_tracing_does_not_follow_is_taken_from_torch_export(tmp_path):
    path = tmp_path / "net.py"
    check = export("python", Scaled(), path)
    assert check.equivalent
    assert check.notes[0].startswith("followed by torch.export (")
    assert check.notes[1] == "for inference only: the forward pass asks for the mode outside of modules"
    assert "self.conv(" in path.read_text()
    assert "self.norm(" in path.read_text()
    with pytest.raises(RuntimeError, match="inference only"):
        opened(path).train()


def test_a_network_that_decides_by_values_is_refused(tmp_path):
    with pytest.raises(WorkFailed, match="no Python") as caught:
        export("python", Deciding(), tmp_path / "net.py")
    assert len(caught.value.hints) == 2
    assert list(tmp_path.iterdir()) == []


def test_other_training_is_not_accepted(tmp_path, monkeypatch):
    opening = python_exporter.OPENING.replace("network.train()(*batch)", "network.train()(*batch) + 0.1")
    monkeypatch.setattr(python_exporter, "OPENING", opening)
    with pytest.raises(WorkFailed, match="trains otherwise"):
        export("python", Small(), tmp_path / "net.py")


def test_weights_of_other_sizes_are_refused_by_the_file_itself(tmp_path):
    export("python", Small(), tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text().replace("nn.Linear(4, 5)", "nn.Linear(4, 6)")
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(ValueError, match=r"head\.bias is \(5,\), not \(6,\)"):
        opened(tmp_path / "net.py")


def test_half_precision_stays_half(tmp_path):
    check = export("python", Small().half(), tmp_path / "net.py", dtype=torch.float16, tolerance=2e-2)
    assert check.equivalent
    assert {each.dtype for each in opened(tmp_path / "net.py").parameters()} == {torch.float16}
