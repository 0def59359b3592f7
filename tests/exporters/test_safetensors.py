"""The state dict comes back bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.errors import WorkFailed
from prunecli.exporters.contract import EXPORTERS, ExportTask

safetensors_torch = pytest.importorskip("safetensors.torch")


class Tied(nn.Module):
    """A shared weight, a scalar buffer, values that are not equal to themselves, a strided tensor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("odd", torch.tensor([float("nan"), -0.0, float("inf")], dtype=torch.bfloat16))
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
        self.norm = nn.BatchNorm1d(3)


def export(model, path):
    return EXPORTERS["safetensors"].export(model, path, ExportTask((), (), ()))


def test_names_and_bits_are_kept(tmp_path):
    model = Tied()
    check = export(model, tmp_path / "out.part")
    assert check.equivalent
    assert (check.max_abs_error, check.tolerance) == (0.0, 0.0)
    found = safetensors_torch.load_file(tmp_path / "out.part")
    assert set(found) == set(model.state_dict())
    assert torch.equal(found["first.weight"], found["second.weight"])
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["norm.num_batches_tracked"].shape == ()
    assert found["odd"].view(torch.int16).tolist() == model.odd.view(torch.int16).tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.part"]


def test_other_bits_are_noticed(tmp_path, monkeypatch):
    load = safetensors_torch.load

    def load_another(content):
        found = load(content)
        found["first.bias"] = -found["first.bias"] * 0
        return found

    model = Tied()
    nn.init.zeros_(model.first.bias)
    monkeypatch.setattr(safetensors_torch, "load", load_another)
    with pytest.raises(WorkFailed, match=r"first\.bias was read back"):
        export(model, tmp_path / "out")
