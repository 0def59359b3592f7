"""`--residual scatter` from file to file: opened elsewhere, pruned again, planned, exported, trained."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import torch

from prunecli.errors import InputRefused
from prunecli.surgery.scattering import SCATTER_INDEX
from prunecli.training.settings import FitSettings
from prunecli.workflows.evaluate import evaluate
from prunecli.workflows.export import export
from prunecli.workflows.finetune import finetune
from prunecli.workflows.opening import Opening, load, open_checkpoint
from prunecli.workflows.prune import prune

SHAPE = (1, 8, 8)
BRANCHES = ("layer1.0", "layer2.0", "layer3.0")
STREAM = {"conv1": 16, "layer2.0.shortcut.0": 32, "layer3.0.shortcut.0": 64, "linear": 10}


def outputs(model):
    with torch.no_grad():
        return model(torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)))


def widths(result):
    return {layer["name"]: layer["after"] for layer in result.document()["layers"]}


def scatters(model):
    """Module → how many channels it scatters."""
    found = {name: held.numel() for name, held in model.named_buffers()}
    return {name.removesuffix(f".{SCATTER_INDEX}"): n for name, n in found.items() if SCATTER_INDEX in name}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file that was pruned so, and the result."""
    path = str(tmp_path_factory.mktemp("scattered") / "small.safetensors")
    return path, prune(Opening(), ratio=0.5, residual="scatter", output=path)


def test_the_stream_stays_and_every_layer_of_a_block_loses_its_own(small):
    _, result = small
    assert result.verification.equivalent
    halves = {"layer1.0": 8, "layer2.0": 16, "layer3.0": 32}
    inner = {f"{block}.conv{i}": width for block, width in halves.items() for i in (1, 2)}
    assert widths(result) == STREAM | inner
    reasons = {each["name"]: each["reason"] for each in result.document()["protected"]}
    assert reasons["conv1"] == "other channels are scattered into them"
    assert scatters(result.model) == {f"{block}.bn2": width for block, width in halves.items()}


def test_the_scores_of_other_layers_in_the_stream_do_not_matter(small):
    _, result = small
    model = open_checkpoint(Opening()).model
    norms = model.get_parameter("layer2.0.conv2.weight").flatten(1).norm(dim=1)
    lowest = torch.argsort(norms, stable=True)[:16].sort().values
    removed = {each["name"]: each["removed"] for each in result.document()["layers"]}
    assert removed["layer2.0.conv2"] == lowest.tolist()


def test_bounds_hold_for_scattered_layers():
    result = prune(
        Opening(),
        ratio=0.5,
        residual="scatter",
        protect=("layer3.0.conv2",),
        layer_ratio={"layer1.0.conv2": 0.99},
        min_channels=2,
        round_to=2,
    )
    found = widths(result)
    assert [found[f"{block}.conv2"] for block in BRANCHES] == [2, 16, 64]
    assert set(scatters(result.model)) == {"layer1.0.bn2", "layer2.0.bn2"}  # where nothing left there is none


def test_the_other_modes_scatter_nothing():
    for residual, stem in (("coupled", 8), ("inner", 16)):
        result = prune(Opening(), ratio=0.5, residual=residual)
        assert scatters(result.model) == {}
        assert widths(result)["conv1"] == stem


def test_the_file_opens_in_a_new_process_to_the_same_outputs(small):
    path, result = small
    script = (
        "import torch, prunecli\n"
        f"model = prunecli.load({path!r})\n"
        "x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))\n"
        "print(model(x).double().sum().item())\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(found.stdout) == pytest.approx(outputs(result.model).double().sum().item(), rel=1e-6)
    assert torch.equal(outputs(load(path)), outputs(result.model))
    assert torch.equal(outputs(copy.deepcopy(load(path))), outputs(result.model))


def test_a_saved_plan_needs_no_other_word(small, tmp_path):
    plan = str(tmp_path / "plan.json")
    prune(Opening(), ratio=0.5, residual="scatter", plan_out=plan)
    assert torch.equal(outputs(prune(Opening(), plan=plan).model), outputs(small[1].model))
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    for cut in document["cuts"]:
        cut["tensor"] = cut["tensor"].replace("layer1.0.bn2.scatter", "layer9.bn2.scatter")
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputRefused, match=r"scatters 'layer9\.bn2', which is not there"):
        prune(Opening(), plan=plan)


@pytest.mark.parametrize(
    ("residual", "conv2"), [("scatter", [6, 12, 23]), ("coupled", [6, 12, 23]), ("inner", [8, 16, 32])]
)
def test_a_scattered_file_is_pruned_again(small, tmp_path, residual, conv2):
    path = str(tmp_path / "again.safetensors")
    result = prune(Opening(checkpoint=small[0]), ratio=0.3, residual=residual, output=path)
    found = widths(result)
    assert result.verification.equivalent
    assert [found[f"{block}.conv2"] for block in BRANCHES] == conv2
    assert {name: found[name] for name in STREAM} == STREAM
    assert torch.equal(outputs(load(path)), outputs(result.model))


def test_a_narrowed_file_is_scattered_next(tmp_path):
    first, second = (str(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    prune(Opening(), ratio=0.5, output=first)
    result = prune(Opening(checkpoint=first), ratio=0.5, residual="scatter", output=second)
    assert scatters(result.model) == {"layer1.0.bn2": 4, "layer2.0.bn2": 8, "layer3.0.bn2": 16}
    assert torch.equal(outputs(load(second)), outputs(result.model))


@pytest.mark.parametrize("criterion", ["taylor", "group_fisher", "hrank"])
def test_criteria_that_look_at_more_than_one_layer_score_scattered_files(small, criterion):
    result = prune(
        Opening(checkpoint=small[0]), ratio=0.3, residual="scatter", criterion=criterion, batches=1
    )
    assert result.verification.equivalent


@pytest.mark.parametrize("strategy", ["iterative", "ghfp", "sfp"])
def test_strategies_that_train(tmp_path, strategy):
    path = str(tmp_path / "trained.safetensors")
    result = prune(
        Opening(), ratio=0.5, residual="scatter", strategy=strategy, epochs=5, recalibrate=0, output=path
    )
    assert result.verification.equivalent
    assert [widths(result)[f"{block}.conv2"] for block in BRANCHES] == [8, 16, 32]
    assert torch.equal(outputs(load(path)), outputs(result.model))


def test_finetuning_keeps_the_scatters(small, tmp_path):
    path = str(tmp_path / "tuned.safetensors")
    finetune(Opening(checkpoint=small[0]), settings=FitSettings(epochs=1), output=path)
    assert scatters(load(path)) == scatters(load(small[0]))
    assert evaluate(Opening(checkpoint=path)).document()["accuracy"] > 80


def test_torch_export_holds_the_same_network(small, tmp_path):
    model, x = load(small[0]), torch.randn(2, *SHAPE)
    batch = torch.export.Dim("batch", min=1)
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=({0: batch},)), path)
    assert torch.equal(torch.export.load(path).module()(x[:1]), model(x[:1]))


def test_onnxruntime_computes_the_same(small, tmp_path):
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    found = export(Opening(checkpoint=small[0]), to="onnx", output=str(tmp_path / "small.onnx"))
    assert found.check.equivalent
    assert not any("failed" in note for note in found.notes)
