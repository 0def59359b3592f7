"""Several processes train as one: real gloo processes, started by torch's launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import training_in_processes

SCRIPT = Path(training_in_processes.__file__)
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")

Findings = dict[str, Any]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What one process finds that takes twice the batch."""
    return training_in_processes.findings(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module", params=["copies", "shards"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Findings]:
    """What each of two processes finds, as equal copies (DDP) and as shards (FSDP)."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp(request.param)
    sharded = {"ACCELERATE_USE_FSDP": "true"} if request.param == "shards" else {}
    environment = {**os.environ, **sharded, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*LAUNCHER, str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert len(found) == 2
    return found


def figures(findings: Findings, name: str) -> list[float]:
    return [value for epoch in findings[name]["history"] for value in epoch]


@pytest.mark.parametrize("name", ["plain", "accumulated"])
def test_two_processes_have_the_loss_curve_of_one_with_twice_the_batch(
    alone: Findings, both: list[Findings], name: str
) -> None:
    assert figures(both[0], name) == pytest.approx(figures(alone, name), abs=1e-4)
    assert both[0][name]["weights"] == pytest.approx(alone[name]["weights"], abs=1e-4)


@pytest.mark.parametrize("name", ["plain", "accumulated", "normalised", "resumed"])
def test_all_processes_end_with_the_same_weights_and_figures(both: list[Findings], name: str) -> None:
    assert both[0][name] == both[1][name]


def test_a_frozen_beginning_stays_and_is_not_run_backward(alone: Findings, both: list[Findings]) -> None:
    for found in (alone, *both):
        assert (found["frozen"]["same"], found["frozen"]["backward"]) == (True, False)
    # The norm is frozen too, so that it does not matter who has which images; one process keeps what the
    # others compute each time.
    assert figures(both[0], "frozen") == pytest.approx(figures(alone, "frozen"), abs=1e-4)
    assert both[0]["frozen"]["weights"] == pytest.approx(alone["frozen"]["weights"], abs=1e-4)
    assert both[0]["frozen"] == both[1]["frozen"]


def test_a_run_of_several_processes_resumes_bit_for_bit(both: list[Findings]) -> None:
    assert both[0]["resumed"] == both[0]["normalised"]


def test_a_strategy_masks_in_every_copy_and_is_refused_where_weights_are_spread(
    alone: Findings, both: list[Findings]
) -> None:
    if isinstance(both[0]["masked"], str):
        assert "cannot be masked while the weights are spread" in both[0]["masked"]
    else:
        assert both[0]["masked"]["weights"] == pytest.approx(alone["masked"]["weights"], abs=1e-4)
        assert both[0]["masked"]["first"] == [[[0.0] * 3] * 3] * 3
    assert both[0]["masked"] == both[1]["masked"]


def test_every_image_counts_once_in_an_evaluation(alone: Findings, both: list[Findings]) -> None:
    assert alone["evaluated"][2] == 45
    assert both[0]["evaluated"] == pytest.approx(alone["evaluated"], rel=1e-12)
    assert both[0]["evaluated"] == both[1]["evaluated"]


def test_batch_norms_are_measured_on_the_images_of_all(alone: Findings, both: list[Findings]) -> None:
    # All but the last number, how many batches each has seen.
    assert both[0]["recalibrated"][:-1] == pytest.approx(alone["recalibrated"][:-1], abs=1e-6)
    assert both[0]["recalibrated"] == both[1]["recalibrated"]


def test_only_the_main_process_speaks_and_writes(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    output = tmp_path / "tuned.safetensors"
    command = ["-m", "prunecli", "finetune", "--epochs", "2", "-o", str(output), "--json"]
    launched = [*LAUNCHER, *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(launched, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["output"]["path"] == str(output)
    assert run.stderr.count("epoch 2/2") == 1
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    again = subprocess.run(launched, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert again.stderr.count("tuned.safetensors exists") == 1
