"""ONNX files run in onnxruntime at any batch size and give what torch gives, or are not made."""

from __future__ import annotations

import pytest
import torch
from exporters import tasks
from exporters.tasks import SHAPE, FixedBatch, Small, TwoOutputs
from torch import nn

from prunecli.errors import WorkFailed, WrongUse
from prunecli.exporters import onnx as onnx_exporter
from prunecli.exporters.contract import EXPORTERS, Batch, ExportCheck, ExportTask

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Branching(Small):
    """Control flow on values, which torch.export refuses and tracing follows."""

    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x


def export(model, path, **given):
    return tasks.export("onnx", model, path, **given)


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
    assert (check.top1_agreement, check.inputs, check.real_inputs) == (1.0, 12, 8)
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


@pytest.mark.parametrize("dtype", [torch.float16])
def test_half_precision_is_computed_in_half_and_compared_with_single(tmp_path, dtype):
    check = export(Small().to(dtype), tmp_path / "out", dtype=dtype, tolerance=2e-2)
    assert check.equivalent
    assert check.max_abs_error > 0
    assert onnx.load(str(tmp_path / "out")).graph.input[0].type.tensor_type.elem_type == 10


def test_bfloat16_is_refused_in_one_line(tmp_path):
    with pytest.raises(WorkFailed, match="no bfloat16 convolutions"):
        export(Small().bfloat16(), tmp_path / "out", dtype=torch.bfloat16)
    assert list(tmp_path.iterdir()) == []


def test_int8_weights_are_smaller_and_near(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(1024, 5)
    )
    samples = torch.randn(4, *SHAPE)
    whole = export(model, tmp_path / "whole", samples=samples)
    check = export(model, tmp_path / "small", samples=samples, weights="int8", tolerance=0.2)
    assert check.equivalent
    assert whole.max_abs_error < check.max_abs_error < check.tolerance
    assert check.notes[0] == "int8 weights; ranges of activations from real inputs"
    assert (tmp_path / "small").stat().st_size < 0.4 * (tmp_path / "whole").stat().st_size
    kinds = {each.data_type for each in onnx.load(str(tmp_path / "small")).graph.initializer if each.dims}
    assert onnx.TensorProto.INT8 in kinds
    weights = [each for each in onnx.load(str(tmp_path / "small")).graph.initializer if len(each.dims) > 1]
    assert {each.data_type for each in weights} == {onnx.TensorProto.INT8}


def test_int8_weights_are_made_of_single_precision(tmp_path):
    with pytest.raises(WrongUse, match="fp32") as caught:
        export(Small().half(), tmp_path / "out", dtype=torch.float16, weights="int8")
    assert caught.value.hints == ("add --dtype fp32",)


def test_more_than_a_protocol_buffer_holds_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_exporter, "LARGEST_FILE", 16)
    # Small tensors stay in the file whatever is asked for.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 5))
    path = tmp_path / "net.onnx"
    assert export(model, path).equivalent
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert (tmp_path / "net.onnx.data").stat().st_size >= 192 * 64 * 4
    assert EXPORTERS["onnx"].companions(path) == (tmp_path / "net.onnx.data",)


def test_several_inputs_are_named_and_have_one_batch(tmp_path):
    class Sum(nn.Module):
        def forward(self, a, b):
            return torch.relu(a) + 2 * b

    inputs = [(torch.randn(size, 3), torch.randn(size, 3)) for size in (1, 3)]
    batches = tuple(Batch(each, (Sum()(*each),)) for each in inputs)
    task = ExportTask(batches, ("a", "b"), (torch.randn(2, 3), torch.randn(2, 3)))
    assert EXPORTERS["onnx"].export(Sum(), tmp_path / "out", task).equivalent
    session = onnxruntime.InferenceSession(str(tmp_path / "out"), providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [
        ("a", ["batch", 3]),
        ("b", ["batch", 3]),
    ]


def test_the_document_has_the_keys_of_the_contract():
    document = ExportCheck("onnxruntime 1", 0.0, 1e-4, equivalent=True, notes=("a",)).document()
    assert list(document) == [
        *("runtime", "max_abs_error", "tolerance", "equivalent", "top1_agreement", "inputs", "real_inputs")
    ]
