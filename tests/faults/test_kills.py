"""SIGKILL at random moments: an output is absent, old or new, work goes on where it was, nothing is left."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running_commands import Ended, Running, run

from prunecli.checkpoints import check_output, read_checkpoint

PRUNE = ("prune", "--ratio", "0.5", "--data", "digits", "-o", "small.safetensors", "--report", "small.json")
FINETUNE = (
    *("finetune", "--epochs", "2", "--augment", "light", "--ema-decay", "0.9", "--data", "digits"),
    *("-o", "tuned.safetensors", "--checkpoint-every", "1"),
)
SWEEP = (
    *("sweep", "--trials", "4", "--epochs", "0", "--seeds", "2", "--ratio", "0.3,0.5", "--criteria", "l1,l2"),
    *("--storage", "trials.journal", "-o", "best.safetensors", "--force", "--json"),
)
FEW, MANY = 4, 67


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Moments are fractions of a run, which must not wait for the process that it comes from."""
    run("evaluate", folder=tmp_path_factory.mktemp("warm"))


def killed(arguments: tuple[str, ...], folder: Path, moment: float) -> Ended:
    """The run, killed after `moment` seconds if it is not over by then."""
    running = Running(*arguments, folder=folder)
    time.sleep(moment)
    running.send(signal.SIGKILL)
    return running.wait()


def undisturbed(arguments: tuple[str, ...], folder: Path) -> tuple[Ended, float]:
    folder.mkdir(exist_ok=True)
    start = time.perf_counter()
    ended = run(*arguments, folder=folder)
    assert ended.code == 0, ended.err
    return ended, time.perf_counter() - start


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def kill_often(
    arguments: Callable[[], tuple[str, ...]], folder: Path, *, kills: int, seconds: float, seed: int
) -> int:
    """Kill so many runs at moments of an undisturbed one; how many of them were over before."""
    moments, over = random.Random(seed), 0
    for _ in range(kills):
        ended = killed(arguments(), folder, moments.uniform(0, 1.1 * seconds))
        assert ended.code in (0, 128 + signal.SIGKILL), ended.err
        over += ended.code == 0
        for path in folder.glob("[!.]*.safetensors"):
            assert read_checkpoint(path).tensors
        for path in folder.glob("[!.]*.json"):
            assert json.loads(path.read_text())
    return over


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_killed_prunings_leave_the_old_file_or_the_new(tmp_path: Path, kills: int) -> None:
    _, seconds = undisturbed(PRUNE, tmp_path)
    again = (*PRUNE, "--ratio", "0.3", "--force")
    old = (tmp_path / "small.safetensors").read_bytes()
    undisturbed((*again, "-o", "new.safetensors", "--report", "new.json"), tmp_path)
    new = (tmp_path / "new.safetensors").read_bytes()
    moments = random.Random(3)
    for _ in range(kills):
        killed(again, tmp_path, moments.uniform(0, 1.1 * seconds))
        found = (tmp_path / "small.safetensors").read_bytes()
        assert len(found) in (len(old), len(new))
        assert read_checkpoint(tmp_path / "small.safetensors").tensors
        assert json.loads((tmp_path / "small.json").read_text())
    undisturbed(again, tmp_path)
    assert names(tmp_path) == {"small.safetensors", "small.json", "new.safetensors", "new.json"}
    first, second = (read_checkpoint(tmp_path / f"{name}.safetensors") for name in ("small", "new"))
    assert first.shapes == second.shapes
    assert all(bool((first.tensors[name] == second.tensors[name]).all()) for name in first.tensors)


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_killed_trainings_end_as_one_that_was_let_alone(tmp_path: Path, kills: int) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    _, seconds = undisturbed(FINETUNE, whole)
    expected = (whole / "tuned.safetensors").read_bytes()
    folder.mkdir()

    def next_one() -> tuple[str, ...]:
        state = folder / "tuned.safetensors.run" / "state.safetensors"
        return (*FINETUNE, "--force", *(["--resume", "tuned.safetensors.run"] if state.exists() else []))

    kill_often(next_one, folder, kills=kills, seconds=seconds, seed=5)
    undisturbed(next_one(), folder)
    assert names(folder) == {"tuned.safetensors"}
    assert (folder / "tuned.safetensors").read_bytes() == expected


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_killed_sweeps_come_to_the_trials_of_one_that_was_let_alone(tmp_path: Path, kills: int) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    ended, seconds = undisturbed(SWEEP, whole)
    folder.mkdir()
    kill_often(lambda: SWEEP, folder, kills=kills, seconds=seconds, seed=7)
    found, _ = undisturbed(SWEEP, folder)
    assert names(folder) == {"trials.journal", "best.safetensors"}
    assert trials(found) == trials(ended)


def trials(ended: Ended) -> list[tuple[object, ...]]:
    """What was tried and what came out of it, in an order that does not depend on when."""
    document = json.loads(ended.out)
    rows = [
        (*each["values"].items(), each["macs"], *each["accuracy"]["seeds"]) for each in document["trials"]
    ]
    assert len(rows) == 4
    return sorted(rows)


def test_what_a_killed_run_held_is_free(tmp_path: Path) -> None:
    running = Running(*FINETUNE, "--epochs", "50", folder=tmp_path)
    while "epoch 1/" not in running.said:
        time.sleep(0.01)
    refused = run(*FINETUNE, folder=tmp_path)
    assert refused.code == 4
    assert f"process {running.pid}, started 2" in refused.err
    running.send(signal.SIGKILL)
    running.wait()
    assert any(name.endswith(".lock") for name in names(tmp_path))
    check_output(tmp_path / "another")
    assert names(tmp_path) == {"tuned.safetensors.run"}
