"""Inspect, score, compare, evaluate, finetune and export on real checkpoints, with the contract's keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunecli.errors import InputRefused, WrongUse
from prunecli.training.settings import FitSettings
from prunecli.workflows.compare import compare
from prunecli.workflows.evaluate import evaluate
from prunecli.workflows.export import export
from prunecli.workflows.finetune import finetune
from prunecli.workflows.inspect import inspect
from prunecli.workflows.opening import Opening, load, open_checkpoint
from prunecli.workflows.score import score


def test_inspect_says_what_is_in_a_public_checkpoint(public_checkpoint):
    document = inspect(public_checkpoint).document()
    path = Path(public_checkpoint.checkpoint)
    assert document["architecture"] == {
        "source": "cifar",
        "name": "cifar/resnet20",
        "confidence": 1.0,
        "arguments": {"num_classes": 10, "in_channels": 3, "shortcut": "pad"},
    }
    assert document["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (document["params"], document["macs"], document["bytes"]) == (
        269_722,
        40_551_040,
        path.stat().st_size,
    )
    assert document["thop"] == {"macs": 41_308_864, "params": 269_722}
    assert any("BatchNorm2d" in reason for reason in document["differences"])
    groups = {group["name"]: group for group in document["groups"]}
    assert groups["conv1"]["prunable"]
    assert {"layer": "layer3.2.conv2", "axis": 0, "role": "makes"} in groups["conv1"]["members"]
    assert groups["linear"]["reason"] == "an output of the network"
    json.dumps(document, allow_nan=False)


def test_macs_are_those_of_the_flop_counter(sample):
    from torch.utils.flop_counter import FlopCounterMode

    model = open_checkpoint(sample).model.to("meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, 1, 8, 8, device="meta"))
    assert inspect(sample).document()["macs"] * 2 == counter.get_total_flops()


def test_scores_are_those_of_the_weights(public_checkpoint):
    document = score(public_checkpoint, criteria=["l1", "bn_gamma"]).document()
    layer = next(one for one in document["layers"] if one["name"] == "layer1.0.conv1")
    model = open_checkpoint(public_checkpoint).model
    assert layer["filters"] == 16
    assert layer["scores"]["l1"] == pytest.approx(model.layer1[0].conv1.weight.abs().sum((1, 2, 3)).tolist())
    assert layer["scores"]["bn_gamma"] == pytest.approx(model.layer1[0].bn1.weight.abs().tolist())
    last = next(one for one in document["layers"] if one["name"] == "linear")
    assert last["scores"]["bn_gamma"] is None
    assert document["groups"][0]["channels"] == len(document["groups"][0]["scores"]["l1"])


def test_global_scores_have_mean_one(public_checkpoint):
    document = score(public_checkpoint, criteria=["l2"], scope="global").document()
    for group in document["groups"]:
        assert sum(group["scores"]["l2"]) / group["channels"] == pytest.approx(1)


def test_compare_finds_what_the_paper_says(public_checkpoint):
    criteria = ["l1", "l2", "fpgm", "fermat", "random"]
    document = compare(public_checkpoint, criteria=criteria, ratios=[0.5]).document()
    pairs = {(pair["a"], pair["b"]): pair for pair in document["pairs"]}
    assert pairs["l1", "l2"]["spearman"] > 0.9
    assert pairs["fpgm", "fermat"]["spearman"] > 0.98
    assert abs(pairs["l2", "random"]["spearman"]) < 0.2
    overall = {(pair["a"], pair["b"]): pair for pair in document["global"]}
    assert overall["l1", "l2"]["spearman"] < 0.8  # alike in a layer, apart over all layers
    assert len(document["pairs"]) == 10


def test_evaluate_counts_the_test_part():
    document = evaluate(Opening()).document()
    assert document["images"] == 450
    assert document["accuracy"] == pytest.approx(97.5556, abs=0.01)
    assert document["top5"] > document["accuracy"]


def test_finetune_writes_what_it_reports(tmp_path):
    path = str(tmp_path / "tuned.safetensors")
    result = finetune(Opening(), data="digits", settings=FitSettings(epochs=1, lr=0.001), output=path)
    document = result.document()
    assert [record["epoch"] for record in document["history"]] == [1]
    assert document["best"]["epoch"] == 1
    found = evaluate(Opening(checkpoint=path)).document()
    assert found["accuracy"] == pytest.approx(document["after"]["accuracy"])
    assert found["loss"] == pytest.approx(document["after"]["loss"], rel=1e-5)
    steps = open_checkpoint(Opening(checkpoint=path)).history
    assert steps[-1]["command"] == "finetune"


def test_data_of_other_classes_is_refused(public_checkpoint, tmp_path):
    from PIL import Image

    for part in ("train", "test"):
        for name in ("a", "b", "c"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (32, 32), (i * 9, 0, 0)).save(folder / f"{i}.png")
    with pytest.raises(InputRefused, match="class"):
        evaluate(public_checkpoint, data=str(tmp_path))


def test_onnx_is_checked_in_onnxruntime(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    document = export(Opening(), to="onnx", output=str(path), data="digits").document()
    assert document["verification"]["equivalent"]
    assert document["output"]["bytes"] == path.stat().st_size
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.randn(5, 1, 8, 8)
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found), load_default()(x), atol=1e-4)


def test_plain_safetensors_hold_the_weights(tmp_path):
    path = tmp_path / "plain.safetensors"
    export(Opening(), to="safetensors", output=str(path))
    tensors = load_file(path)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_default().state_dict().items())


def test_an_unknown_exporter_names_the_nearest(tmp_path):
    with pytest.raises(WrongUse) as caught:
        export(Opening(), to="onx", output=str(tmp_path / "m"))
    assert caught.value.hints[0] == "did you mean 'onnx'?"


def load_default():
    return open_checkpoint(Opening()).model


@pytest.fixture
def weights():
    return {name: tensor.clone() for name, tensor in load_default().state_dict().items()}


def test_no_checkpoint_takes_the_sample_and_says_so():
    opened = open_checkpoint(Opening())
    assert opened.notes[0] == "no checkpoint was given: taking the bundled sample resnet8-digits.safetensors"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("linear.bias"), "1 tensors missing"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 extra"),
        (lambda w: w.update({"linear.bias": torch.zeros(3)}), "1 of another shape"),
    ],
)
def test_weights_that_do_not_fit_the_named_architecture_are_counted_and_named(
    weights, tmp_path, change, words
):
    change(weights)
    path = tmp_path / "w.safetensors"
    save_file(weights, path)
    with pytest.raises(InputRefused, match=words) as caught:
        open_checkpoint(Opening(checkpoint=str(path), arch="digits/resnet8"))
    assert "linear.bias" in caught.value.hints[0] or "extra" in caught.value.hints[0]


def test_an_unknown_network_is_refused_with_what_to_type(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"strange.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(InputRefused) as caught:
        open_checkpoint(Opening(checkpoint=str(path)))
    assert any("--arch" in hint or "--model" in hint for hint in caught.value.hints)


def test_ones_own_network_by_its_factory(tmp_path):
    source = tmp_path / "net.py"
    source.write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(),"
        " nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(4, 2),
    )  # fmt: skip
    path = tmp_path / "own.safetensors"
    save_file(model.state_dict(), path)
    from prunecli.workflows.prune import prune

    small = str(tmp_path / "small.safetensors")
    factory = f"{source}:make"
    result = prune(
        Opening(checkpoint=str(path), model=factory, input_shape=(3, 16, 16)), ratio=0.5, output=small
    )
    assert result.verification.equivalent
    assert load(small, model=factory)[0].out_channels == 4
    with pytest.raises(InputRefused, match="its author's") as caught:
        load(small)
    assert "--model" in caught.value.hints[0]


def test_a_file_that_knows_its_architecture_is_not_talked_into_another():
    with pytest.raises(InputRefused, match="says that it is digits/resnet8, not cifar/resnet20"):
        open_checkpoint(Opening(arch="cifar/resnet20"))
    with pytest.raises(InputRefused, match="resnet21"):
        open_checkpoint(Opening(arch="cifar/resnet21"))


def test_a_trusted_network_of_a_known_kind_leaves_a_file_that_opens(tmp_path):
    from prunecli.workflows.prune import prune

    path = tmp_path / "whole.pt"
    torch.save(load_default(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputRefused, match=r"program|runs|pickle"):
        open_checkpoint(Opening(checkpoint=str(path)))
    small = str(tmp_path / "small.safetensors")
    trusted = Opening(checkpoint=str(path), trust_pickle=digest)
    prune(trusted, ratio=0.5, output=small)
    assert load(small).conv1.out_channels == 8


def test_old_files_are_read_as_their_modules_read_them(tmp_path):
    from prunecli.architectures import build, resolve

    model = build(resolve("torchvision/mnasnet0_5"))  # it looks at the version of its state dict
    path = tmp_path / "mnasnet.safetensors"
    save_file(model.state_dict(), path)
    opened = open_checkpoint(Opening(checkpoint=str(path)))
    assert torch.equal(opened.model.layers[0].weight, model.layers[0].weight)


def test_a_network_that_the_digits_do_not_fit_asks_for_data(public_checkpoint):
    with pytest.raises(InputRefused, match="do not fit a network for 3x32x32") as caught:
        evaluate(public_checkpoint)
    assert "--data" in caught.value.hints[0]


def test_a_normalisation_must_fit_the_channels(public_checkpoint):
    with pytest.raises(InputRefused, match="2 values of normalisation for 1 channels"):
        open_checkpoint(Opening(mean=(0.5, 0.5), std=(0.5,)))
    path = public_checkpoint.checkpoint
    with pytest.raises(InputRefused, match="mean and a deviation"):
        open_checkpoint(Opening(checkpoint=path, mean=(0.5,)))


def test_as_many_threads_compute_as_were_asked_for():
    before = torch.get_num_threads()
    try:
        open_checkpoint(Opening(threads=before + 2))
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)
