"""Exports of real checkpoints: what is written, what is compared, what is refused, what the document says."""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.workflows.export import export
from prunecli.workflows.finetune import FitSettings, finetune
from prunecli.workflows.opening import Opening, load, open_checkpoint
from prunecli.workflows.prune import prune

NETWORKS = """
import torch
from torch import nn

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.head = nn.Linear(8, 3)

    def example_inputs(self, batch):
        return torch.full((batch, 6), 8), torch.randn(batch, 4)

    def forward(self, ids, extra):
        return self.head(torch.cat([self.embed(ids).mean(1), extra], 1))
"""


@pytest.fixture
def words(tmp_path):
    """A checkpoint of a network that takes token ids and numbers."""
    (tmp_path / "nets.py").write_text(NETWORKS)
    sys.path.insert(0, str(tmp_path))
    try:
        from nets import Words

        torch.manual_seed(0)
        save_file(Words().state_dict(), tmp_path / "words.safetensors")
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["nets"]
    return Opening(
        checkpoint=str(tmp_path / "words.safetensors"),
        model=f"{tmp_path}/nets.py:Words",
        input_shape=(6,),
    )


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_the_document_says_what_was_written_and_how_it_was_compared(tmp_path):
    path = tmp_path / "net.py"
    found = export(Opening(), to="python", output=str(path), fuse=True, data="digits")
    document = found.document()
    assert document["format"] == "python"
    assert document["folded_batch_norms"] == 9
    assert document["dtype"] == "float32"
    assert document["inputs"] == [{"name": "input", "shape": ["batch", 1, 8, 8], "dtype": "float32"}]
    sizes = [(tmp_path / name).stat().st_size for name in ("net.py", "net_weights.safetensors")]
    assert [each["bytes"] for each in document["output"]["files"]] == sizes
    assert document["output"]["bytes"] == sum(sizes)
    assert document["output"]["sha256"] == document["output"]["files"][0]["sha256"]
    verification = document["verification"]
    assert verification["equivalent"]
    assert (verification["inputs"], verification["real_inputs"]) == (20, 16)
    assert verification["top1_agreement"] == 1.0
    assert "9 batch norms folded, equal in float64" in found.notes
    assert "for inference only: its batch norms were folded" in found.notes
    assert not any(name.endswith(".running_mean") for name in load_file(tmp_path / "net_weights.safetensors"))


def test_the_bundled_digits_serve_where_they_fit_and_nothing_was_said(tmp_path, public_checkpoint):
    document = export(Opening(), to="torchscript", output=str(tmp_path / "a")).document()
    assert document["verification"]["real_inputs"] == 16
    found = export(public_checkpoint, to="torchscript", output=str(tmp_path / "b"))
    assert found.document()["verification"]["real_inputs"] == 0
    assert "compared on random inputs only: --data gives real ones" in found.notes


def test_half_precision_is_compared_with_the_network_as_it_was(tmp_path):
    document = export(Opening(), to="torchscript", output=str(tmp_path / "a"), dtype="bf16").document()
    verification = document["verification"]
    assert document["dtype"] == "bfloat16"
    assert document["inputs"][0]["dtype"] == "bfloat16"
    assert 1e-4 < verification["max_abs_error"] <= verification["tolerance"]
    plain = export(Opening(), to="safetensors", output=str(tmp_path / "b"), dtype="fp16").document()
    assert {each.dtype for each in load_file(tmp_path / "b").values() if each.is_floating_point()} == {
        torch.float16
    }
    assert plain["inputs"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"to": "pt2", "opset": 18}, "--to pt2 has no --opset"),
        ({"to": "python", "output": "-"}, "--to python writes more than one file"),
        ({"to": "openvino", "output": "net.bin"}, r"called NAME\.xml, not net\.bin"),
        ({"to": "transformers", "output": "-"}, "--to transformers writes a folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_opened(tmp_path, monkeypatch, given, message):
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongUse, match=message):
        export(Opening(checkpoint="there is none"), **given)
    assert names(tmp_path) == []


def test_files_beside_the_output_are_looked_at_too(tmp_path):
    (tmp_path / "net_weights.safetensors").write_bytes(b"mine")
    with pytest.raises(WrongUse, match=r"net_weights\.safetensors exists"):
        export(Opening(), to="python", output=str(tmp_path / "net.py"))
    assert names(tmp_path) == ["net_weights.safetensors"]


def test_the_input_is_not_written_over_by_a_file_beside_the_output(tmp_path):
    source = tmp_path / "net_weights.safetensors"
    export(Opening(), to="safetensors", output=str(source))
    with pytest.raises(WrongUse, match="is the input itself"):
        export(Opening(checkpoint=str(source)), to="python", output=str(tmp_path / "net.py"), force=True)


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    from prunecli.exporters import python as python_exporter

    opening = python_exporter.OPENING.replace("network(*batch)", "network(*batch) + 1")
    monkeypatch.setattr(python_exporter, "OPENING", opening)
    with pytest.raises(WorkFailed, match="does not compute what the network computes"):
        export(Opening(), to="python", output=str(tmp_path / "net.py"))
    assert names(tmp_path) == []


def test_one_file_goes_to_standard_output(tmp_path, monkeypatch):
    held = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(held))
    document = export(Opening(), to="torchscript", output="-").document()
    assert document["output"]["path"] == "-"
    assert document["output"]["bytes"] == len(held.getvalue())
    held.seek(0)
    assert torch.jit.load(held)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_network_of_several_inputs_is_called_as_it_says(words, tmp_path):
    path = tmp_path / "words.ts"
    document = export(words, to="torchscript", output=str(path)).document()
    assert document["verification"]["equivalent"]
    assert [(each["name"], each["shape"], each["dtype"]) for each in document["inputs"]] == [
        ("input0", ["batch", 6], "int64"),
        ("input1", ["batch", 4], "float32"),
    ]
    ids, extra = torch.randint(0, 9, (5, 6)), torch.randn(5, 4)
    found = torch.jit.load(path)(ids, extra)
    torch.testing.assert_close(found, load(words.checkpoint, model=words.model)(ids, extra))


def test_data_for_a_network_that_takes_no_image_is_refused(words, tmp_path):
    with pytest.raises(InputRefused, match="does not take one image"):
        export(words, to="pt2", data="digits", output=str(tmp_path / "out"))


def test_a_detector_is_refused_in_words_and_its_weights_are_not(tmp_path):
    from prunecli.architectures import build, resolve

    name = "torchvision/ssdlite320_mobilenet_v3_large"
    path = tmp_path / "detector.safetensors"
    save_file(build(resolve(name)).state_dict(), path)
    opening = Opening(checkpoint=str(path), arch=name)
    with pytest.raises(WorkFailed, match="depends on values") as caught:
        export(opening, to="torchscript", output=str(tmp_path / "out"))
    assert caught.value.hints == ("its weights can: --to safetensors",)
    assert export(opening, to="safetensors", output=str(tmp_path / "out")).check.equivalent


def test_pruned_twice_tuned_and_exported_with_its_history(tmp_path):
    steps = [str(tmp_path / f"{name}.safetensors") for name in ("once", "twice", "tuned")]
    prune(Opening(), ratio=0.5, output=steps[0])
    prune(Opening(checkpoint=steps[0]), ratio=0.25, min_channels=1, output=steps[1])
    finetune(Opening(checkpoint=steps[1]), settings=FitSettings(epochs=1), output=steps[2])
    opened = open_checkpoint(Opening(checkpoint=steps[2]))
    assert [each["command"] for each in opened.history] == ["train", "prune", "prune", "finetune"]
    whole = {name: tensor.shape for name, tensor in load_default().state_dict().items()}
    for cut in opened.plan.cuts:
        assert cut.size == whole[cut.tensor][cut.axis]
        left = opened.model.state_dict()[cut.tensor].shape[cut.axis]
        assert left == cut.size - len(cut.removed)
    widths = [load(path).conv1.out_channels for path in steps]
    assert widths == [8, 6, 6]
    path = tmp_path / "net.py"
    assert export(Opening(checkpoint=steps[2]), to="python", output=str(path)).check.equivalent
    tensors = load_file(tmp_path / "net_weights.safetensors")
    assert all(torch.equal(tensors[name], each) for name, each in opened.model.state_dict().items())


def load_default():
    return open_checkpoint(Opening()).model


def test_the_document_is_json(tmp_path):
    document = export(Opening(), to="safetensors", output=str(tmp_path / "a")).document()
    assert json.loads(json.dumps(document)) == document
