"""Fine-tuning by the real command line, stopped by a signal and gone on with as it says."""

from __future__ import annotations

import shlex
import signal
import time
from pathlib import Path

import pytest
from running_commands import Running, run

from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.training.resuming import FILE
from prunecli.training.settings import FitSettings
from prunecli.workflows.finetune import finetune
from prunecli.workflows.opening import Opening, open_checkpoint

LATE = 120.0
ARGUMENTS = ("finetune", "--epochs", "12", "--augment", "light", "--ema-decay", "0.9")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_the_line_that_a_stopped_run_prints_leads_to_the_same_file(
    tmp_path: Path, number: int, code: int
) -> None:
    arguments = (*ARGUMENTS, "-o", "tuned.safetensors")
    running = Running(*arguments, folder=tmp_path)
    until = time.monotonic() + LATE
    while "\nepoch 3/" not in running.said:
        assert time.monotonic() < until, running.said
        time.sleep(0.01)
    running.send(number)
    ended = running.wait()
    assert ended.code == code, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors.run"]
    said = ended.err.splitlines()
    resume = next(line for line in said if line.startswith("  to go on: ")).removeprefix("  to go on: ")
    program, *rest = shlex.split(resume)
    assert (program, rest) == ("prunecli", [*arguments, "--resume", "tuned.safetensors.run"])

    gone_on = run(*rest, folder=tmp_path)
    assert gone_on.code == 0, gone_on.err
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]
    whole = run(*ARGUMENTS, "-o", "whole.safetensors", folder=tmp_path)
    assert whole.code == 0, whole.err
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
