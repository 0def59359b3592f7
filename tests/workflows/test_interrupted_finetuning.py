"""Fine-tuning by the real command line, stopped by a signal and gone on with as it says."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.training.resuming import FILE
from prunecli.training.settings import FitSettings
from prunecli.workflows.finetune import finetune
from prunecli.workflows.opening import Opening, open_checkpoint

ARGUMENTS = ("finetune", "--epochs", "12", "--augment", "light", "--ema-decay", "0.9")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prunecli", *arguments]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=surroundings(), capture_output=True, text=True, check=False
    )


def surroundings() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_the_line_that_a_stopped_run_prints_leads_to_the_same_file(
    tmp_path: Path, number: int, code: int
) -> None:
    arguments = (*ARGUMENTS, "-o", "tuned.safetensors")
    stopped = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=surroundings(), stderr=subprocess.PIPE, text=True
    )
    assert stopped.stderr is not None
    said = []
    for line in stopped.stderr:
        said.append(line)
        if line.startswith("epoch 3/"):
            stopped.send_signal(number)
    assert stopped.wait() == code, said
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors.run"]
    resume = next(line for line in said if line.startswith("  to go on: ")).removeprefix("  to go on: ")
    program, *rest = shlex.split(resume)
    assert (program, rest) == ("prunecli", [*arguments, "--resume", "tuned.safetensors.run"])

    gone_on = run(*rest, folder=tmp_path)
    assert gone_on.returncode == 0, gone_on.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]
    whole = run(*ARGUMENTS, "-o", "whole.safetensors", folder=tmp_path)
    assert whole.returncode == 0
    resumed, uninterrupted = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("tuned", "whole"))
    assert resumed == uninterrupted


def test_a_loss_that_is_not_finite_leaves_a_state_that_goes_on_with_another_rate(tmp_path: Path) -> None:
    output = str(tmp_path / "tuned.safetensors")
    with pytest.raises(WorkFailed, match="epoch 1, step 2") as failure:
        finetune(Opening(), settings=FitSettings(epochs=1, lr=1e30), output=output)
    folder = f"{output}.run"
    assert folder in failure.value.hints[0]
    with pytest.raises(InputRefused, match="state of an interrupted run"):
        open_checkpoint(Opening(checkpoint=f"{folder}/{FILE}"))
    with pytest.raises(WrongUse, match="holds the state of an interrupted run"):
        finetune(Opening(), settings=FitSettings(epochs=1), output=output)
    with pytest.raises(WrongUse, match="begun with epochs 1, not 2"):
        finetune(Opening(), settings=FitSettings(epochs=2), output=output, resume=folder)
    again = finetune(Opening(), settings=FitSettings(epochs=1), output=output, force=True)
    assert again.output is not None
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]


def test_a_state_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no place for the state"):
        finetune(Opening(), settings=FitSettings(epochs=1), checkpoint_every=5)
    with pytest.raises(WrongUse, match="cannot keep its state in"):
        finetune(Opening(), checkpoint_dir=str(tmp_path / "a"), resume=str(tmp_path / "b"))
    with pytest.raises(InputRefused, match="no interrupted run"):
        finetune(Opening(), settings=FitSettings(epochs=1), resume=str(tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_must_fit_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="nothing to be similar to"):
        finetune(Opening(), settings=FitSettings(epochs=1, similarity=1.0))
    with pytest.raises(InputRefused, match="does not exist"):
        finetune(Opening(), settings=FitSettings(epochs=1), teacher=str(tmp_path / "none.pt"))
