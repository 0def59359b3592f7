"""A saved plan, or a pruned file in its place, makes the same network again, bit for bit."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prunecli.errors import GateNotMet, InputRefused
from prunecli.workflows.diff import diff
from prunecli.workflows.opening import Opening, load
from prunecli.workflows.prune import prune


def same_bits(first, second):
    one, other = load(first).state_dict(), load(second).state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "asked",
    [
        {"ratio": 0.5},
        {"target": "macs=0.6", "scope": "global", "criterion": "fpgm"},
        {"ratio": 0.4, "data": "digits", "evaluate": True},
        {"ratio": 0.5, "residual": "scatter"},
    ],
    ids=["ratio", "target", "recalibrated", "scattered"],
)
def test_a_plan_makes_the_same_network_again(asked, tmp_path):
    first, again, plan = (str(tmp_path / name) for name in ("1.safetensors", "2.safetensors", "plan.json"))
    prune(Opening(), **asked, output=first, plan_out=plan)
    measured = {key: asked[key] for key in ("data", "evaluate") if key in asked}
    prune(Opening(), plan=plan, output=again, **measured)
    assert same_bits(first, again)


def test_a_pruned_file_serves_as_its_own_plan(tmp_path):
    first, again = str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")
    prune(Opening(), ratio=0.5, output=first)
    prune(Opening(), plan=first, output=again)
    assert same_bits(first, again)


def test_two_prunings_are_made_again_as_one(tmp_path):
    first, second, again = (str(tmp_path / f"{i}.safetensors") for i in range(3))
    prune(Opening(), ratio=0.3, output=first)
    prune(Opening(checkpoint=first), ratio=0.3, criterion="l1", output=second)
    prune(Opening(), plan=second, output=again)
    assert same_bits(second, again)


def test_a_file_without_a_plan(tmp_path, sample):
    with pytest.raises(InputRefused, match="was not pruned"):
        prune(Opening(), plan=sample.checkpoint)
    with pytest.raises(InputRefused, match="does not exist"):
        prune(Opening(), plan=str(tmp_path / "none.json"))


def test_a_plan_of_another_network_is_refused(tmp_path):
    small = str(tmp_path / "1.safetensors")
    prune(Opening(), ratio=0.5, output=small)
    with pytest.raises(InputRefused, match="not found here"):
        prune(Opening(checkpoint=small), plan=small)


def by_name(document):
    return {layer["name"]: layer for layer in document["layers"]}


def test_a_cut_network_keeps_the_weights_of_its_channels(tmp_path):
    small = str(tmp_path / "1.safetensors")
    result = prune(Opening(), ratio=0.5, output=small)
    document = diff(Opening(), Opening(checkpoint=small)).document()
    removed = {layer["name"]: layer["removed"] for layer in result.document()["layers"]}
    for name, layer in by_name(document).items():
        assert layer["status"] == "cut"
        assert layer["changed"] == 0.0
        if name in removed:
            assert layer["only_a"] == removed[name]
        assert layer["only_b"] == []
    assert not document["identical"]
    assert document["b"]["macs"] == result.document()["after"]["macs"]


def test_two_cuts_of_one_network_share_some_channels(tmp_path):
    paths = [str(tmp_path / f"{i}.safetensors") for i in range(2)]
    for path, criterion in zip(paths, ("l1", "random"), strict=True):
        prune(Opening(), ratio=0.5, criterion=criterion, output=path)
    conv1 = by_name(diff(*(Opening(checkpoint=path) for path in paths)).document())["conv1"]
    assert conv1["status"] == "other channels"
    assert conv1["channels"] == {"a": 8, "b": 8}
    assert len(conv1["only_a"]) == len(conv1["only_b"]) > 0
    assert conv1["changed"] == 0.0  # of the channels that both have


def test_changed_weights_are_told_and_missing_ones(tmp_path):
    small, other = str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")
    prune(Opening(), ratio=0.5, output=small)
    with safe_open(small, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(small)
    tensors["layer1.0.conv1.weight"] = tensors["layer1.0.conv1.weight"].clone()
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] += 0.5
    save_file(tensors, other, metadata=metadata)
    result = diff(Opening(checkpoint=small), Opening(checkpoint=other), must_equal=True)
    layers = by_name(result.document())
    assert [name for name, layer in layers.items() if layer["status"] != "same"] == ["layer1.0.conv1"]
    assert layers["layer1.0.conv1"]["max_abs_change"] == pytest.approx(0.5, abs=1e-6)
    assert layers["layer1.0.conv1"]["changed"] == pytest.approx(1 / tensors["layer1.0.conv1.weight"].numel())
    assert isinstance(result.gate, GateNotMet)


def test_the_same_twice_is_identical():
    result = diff(Opening(), Opening(), must_equal=True)
    assert result.document()["identical"]
    assert result.gate is None
