"""ONNX files run in onnxruntime at any batch size and give what torch gives, or are not made."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.errors import WorkFailed, WrongUse
from prunecli.exporters import onnx as onnx_exporter
from prunecli.exporters.contract import EXPORTERS, ExportCheck

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SHAPE = (3, 8, 8)


class Small(nn.Module):
    """Convolution, norm and classifier."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


class Branching(Small):
    """Control flow on values, which torch.export refuses and tracing follows."""

    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x


class FixedBatch(Small):
    """A shape with the batch written into it."""

    def forward(self, x):
        return super().forward(x).reshape(2, -1)


class TwoOutputs(Small):
    """A dictionary of results, as detectors and language models return."""

    def forward(self, x):
        features = self.norm(self.conv(x))
        return {"features": features, "logits": self.head(features.mean((2, 3)))}


def export(model, path, *, samples=None, opset=None):
    return EXPORTERS["onnx"].export(model, path, input_shape=SHAPE, samples=samples, opset=opset)


def opset_of(path):
    return onnx.load(str(path)).opset_import[0].version


def test_the_file_is_one_file_with_a_free_batch_and_the_models_outputs(tmp_path, capfd):
    model = Small().train()
    path = tmp_path / ".out.part"
    samples = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(1))
    check = export(model, path, samples=samples)
    assert capfd.readouterr() == ("", "")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert check.equivalent
    assert check.max_abs_error <= check.tolerance < 1e-2
    assert check.runtime == f"onnxruntime {onnxruntime.__version__}"
    assert check.notes == ("top-1 agrees on 12 of 12 inputs",)
    assert model.training
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].name == "input"
    assert session.get_inputs()[0].shape == ["batch", *SHAPE]
    found = torch.as_tensor(session.run(None, {"input": samples[:7].numpy()})[0])
    torch.testing.assert_close(found, model.eval()(samples[:7]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_the_opset_asked_for_is_the_one_written(tmp_path, opset):
    assert export(Small(), tmp_path / "out", opset=opset).equivalent
    assert opset_of(tmp_path / "out") == opset


def test_another_opset_than_asked_for_is_not_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_exporter, "LOWEST_OPSET_OF_TORCH_EXPORT", 9)
    check = export(Small(), tmp_path / "out", opset=13)
    assert check.notes[0].endswith("opset 18 was written instead of 13")
    assert opset_of(tmp_path / "out") == 13


@pytest.mark.parametrize("opset", [0, 8, 1000])
def test_an_opset_that_does_not_exist_is_wrong_use(tmp_path, opset):
    with pytest.raises(WrongUse, match=f"opset {opset} is not supported") as caught:
        export(Small(), tmp_path / "out", opset=opset)
    assert caught.value.hints[0].startswith("valid: 9 to ")


def test_tracing_takes_over_and_the_notes_say_why(tmp_path):
    check = export(Branching(), tmp_path / "out")
    assert check.equivalent
    assert check.notes[0].startswith("exported by tracing because torch.export failed: ")
    assert "\n" not in check.notes[0]
    assert check.notes[1] == "top-1 agrees on 4 of 4 inputs"


def test_a_batch_that_is_fixed_is_not_equivalent(tmp_path, capfd):
    with pytest.raises(WorkFailed, match="no equivalent ONNX file") as caught:
        export(FixedBatch(), tmp_path / "out")
    assert [hint.partition(" failed")[0] for hint in caught.value.hints] == ["torch.export", "tracing"]
    assert capfd.readouterr() == ("", "")


def test_several_outputs_are_all_compared(tmp_path):
    assert export(TwoOutputs(), tmp_path / "out").equivalent


def test_other_values_are_not_equivalent(tmp_path, monkeypatch):
    write = onnx_exporter._write

    def write_another(model, *args, **kwargs):
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.head.bias.data[0] += 0.01
        write(model, *args, **kwargs)
        model.load_state_dict(state)

    monkeypatch.setattr(onnx_exporter, "_write", write_another)
    with pytest.raises(WorkFailed) as caught:
        export(Small(), tmp_path / "out")
    assert caught.value.hints[0].startswith("torch.export: outputs differ by 0.01 (at most ")


def test_outputs_that_are_not_numbers_are_not_equivalent(tmp_path):
    model = Small()
    model.head.bias.data[0] = float("nan")
    with pytest.raises(WorkFailed):
        export(model, tmp_path / "out")


def test_half_precision_is_exported_as_it_is(tmp_path):
    check = export(Small().half(), tmp_path / "out")
    assert check.equivalent
    assert onnx.load(str(tmp_path / "out")).graph.input[0].type.tensor_type.elem_type == 10


def test_a_model_larger_than_a_protocol_buffer_is_refused_before_any_work(tmp_path):
    with pytest.raises(WorkFailed, match=r"at most 2 GiB, the model's tensors are 4.0 GiB"):
        export(nn.Linear(1 << 15, 1 << 15, device="meta"), tmp_path / "out")


def test_the_document_has_the_keys_of_the_contract():
    document = ExportCheck("onnxruntime 1", 0.0, 1e-4, equivalent=True, notes=("a",)).document()
    assert list(document) == ["runtime", "max_abs_error", "tolerance", "equivalent"]
