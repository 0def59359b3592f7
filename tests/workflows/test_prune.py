"""Pruning real checkpoints: written, proved, opened again, pruned again, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from prunecli.checkpoints import read_checkpoint
from prunecli.errors import GateNotMet, InputRefused, WorkFailed, WrongUse
from prunecli.surgery.verification import Verification
from prunecli.workflows import prune as story
from prunecli.workflows.opening import Opening, load, open_checkpoint
from prunecli.workflows.prune import prune


def outputs(model, shape):
    with torch.no_grad():
        return model(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))


def test_a_pruned_sample_opens_to_the_same_network(sample, tmp_path):
    path = str(tmp_path / "small.safetensors")
    result = prune(sample, ratio=0.5, output=path)
    assert result.verification.equivalent
    assert torch.equal(outputs(load(path), (1, 8, 8)), outputs(result.model, (1, 8, 8)))
    document = result.document()
    assert document["after"]["macs"] < 0.45 * document["before"]["macs"]
    assert document["after"]["flops"] == 2 * document["after"]["macs"]
    for layer in document["layers"]:
        assert layer["after"] == layer["before"] - len(layer["removed"])
        assert layer["after"] == layer["before"] // 2 or layer["name"].endswith(
            ("linear", "classifier", "fc")
        )


def test_a_pruned_file_opens_in_a_new_process_to_the_same_outputs(tmp_path):
    path = tmp_path / "small.safetensors"
    result = prune(Opening(), ratio=0.3, output=str(path))
    script = (
        "import sys, torch, prunecli\n"
        f"model = prunecli.load({str(path)!r})\n"
        "x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))\n"
        "print(model(x).double().sum().item())\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(found.stdout) == pytest.approx(
        outputs(result.model, (1, 8, 8)).double().sum().item(), rel=1e-6
    )


def test_the_same_command_gives_the_same_bytes(tmp_path):
    written = [
        prune(Opening(), ratio=0.5, output=str(tmp_path / f"{i}.safetensors")).output["sha256"]
        for i in (1, 2)
    ]
    assert written[0] == written[1]


def test_a_public_checkpoint_is_recognised_and_halved(public_checkpoint, tmp_path):
    path = str(tmp_path / "small.safetensors")
    document = prune(public_checkpoint, ratio=0.5, output=path).document()
    assert document["before"]["params"] == 269_722
    assert document["before"]["macs"] == 40_551_040
    assert document["after"]["params"] == 68_050
    assert document["after"]["macs"] == 10_248_512
    assert document["before"]["thop"] == {"macs": 41_308_864, "params": 269_722}
    assert any("BatchNorm2d" in reason for reason in document["before"]["differences"])
    assert document["verification"]["equivalent"]
    assert {layer["after"] for layer in document["layers"]} == {8, 16, 32, 10}
    stored = read_checkpoint(path).document
    assert stored["architecture"]["name"] == "cifar/resnet20"
    assert stored["history"][-1]["source_sha256"].startswith("12fca82f")


def test_pruning_twice_composes_and_keeps_the_history(tmp_path):
    first, second = str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")
    prune(Opening(), ratio=0.5, output=first)
    result = prune(Opening(checkpoint=first), ratio=0.5, output=second)
    assert torch.equal(outputs(load(second), (1, 8, 8)), outputs(result.model, (1, 8, 8)))
    opened = open_checkpoint(Opening(checkpoint=second))
    assert [step["command"] for step in opened.history[-2:]] == ["prune", "prune"]
    assert opened.model.conv1.out_channels == 4
    cut = next(c for c in opened.plan.cuts if (c.tensor, c.axis) == ("conv1.weight", 0))
    assert (cut.size, len(cut.removed)) == (16, 12)


def test_a_saved_plan_is_carried_out_to_the_same_bytes(tmp_path):
    plan = tmp_path / "plan.json"
    direct = prune(Opening(), ratio=0.4, output=str(tmp_path / "a.safetensors"), plan_out=str(plan))
    assert json.loads(plan.read_text())["schema"] == "prunecli.plan/1"
    followed = prune(Opening(), plan=str(plan), output=str(tmp_path / "b.safetensors"))
    assert followed.plan == direct.plan
    for name, tensor in direct.model.state_dict().items():
        assert torch.equal(tensor, followed.model.state_dict()[name])


def test_a_dry_run_writes_nothing_and_says_so(tmp_path):
    path = tmp_path / "small.safetensors"
    result = prune(Opening(), ratio=0.5, output=str(path), dry_run=True)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []
    assert result.output is None
    assert any("dry run" in note for note in result.notes)
    assert result.document()["reduction"]["params"] > 0.7


def test_a_training_strategy_runs_on_the_bundled_digits():
    result = prune(Opening(), ratio=0.5, strategy="ghfp", epochs=1)
    assert len(result.history) == 1
    assert list(result.accuracy) == ["before", "cut", "after"]
    assert result.accuracy["before"] > 95
    assert result.document()["history"][0]["epoch"] == 1


def test_a_missed_gate_keeps_the_result(tmp_path):
    path = tmp_path / "small.safetensors"
    result = prune(Opening(), ratio=0.9, max_drop=1.0, output=str(path))
    assert isinstance(result.gate, GateNotMet)
    assert "points" in result.gate.message
    assert path.exists()
    assert prune(Opening(), ratio=0.1, max_drop=99).gate is None


def test_nothing_to_prune_is_a_gate():
    with pytest.raises(GateNotMet, match="nothing could be pruned"):
        prune(Opening(), ratio=0.01)


def test_an_unproved_cut_is_not_written(tmp_path, monkeypatch):
    wrong = Verification("made", 1.0, 1.0, 1e-9, equivalent=False)
    monkeypatch.setattr("prunecli.surgery.verification.verify", lambda *_, **__: wrong)
    path = tmp_path / "small.safetensors"
    with pytest.raises(WorkFailed, match="does not compute what the masked original computes"):
        prune(Opening(), ratio=0.5, output=str(path))
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_refused_before_any_work(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    path.write_text("mine")
    monkeypatch.setattr(story, "open_checkpoint", lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(WrongUse, match="exists"):
        prune(Opening(), ratio=0.5, output=str(path))
    assert path.read_text() == "mine"


def test_no_ratio_is_wrong_use():
    with pytest.raises(WrongUse, match="how much"):
        prune(Opening())


def test_a_criterion_that_no_layer_has_prunes_nothing(tmp_path):
    sizes = prune(Opening(), ratio=0.5, criterion="bn_gamma").document()
    assert sizes["reduction"]["params"] > 0.5


def test_a_plan_for_another_network_is_refused(tmp_path):
    plan = tmp_path / "plan.json"
    prune(Opening(), ratio=0.5, plan_out=str(plan))
    smaller = str(tmp_path / "small.safetensors")
    prune(Opening(), ratio=0.5, output=smaller)
    with pytest.raises(InputRefused):
        prune(Opening(checkpoint=smaller), plan=str(plan))
    with pytest.raises(InputRefused, match="does not exist"):
        prune(Opening(), plan=str(tmp_path / "none.json"))


def test_half_precision_stays_half_precision(tmp_path):
    from safetensors.torch import save_file

    model = load_default().half()
    source = tmp_path / "half.safetensors"
    save_file(model.state_dict(), source)
    path = str(tmp_path / "small.safetensors")
    prune(Opening(checkpoint=str(source), arch="digits/resnet8"), ratio=0.5, output=path)
    tensors = read_checkpoint(path).tensors
    assert {str(t.dtype) for n, t in tensors.items() if "tracked" not in n} == {"torch.float16"}


def load_default():
    return open_checkpoint(Opening()).model
