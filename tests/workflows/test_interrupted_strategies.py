"""Strategies by the real command line, stopped by a signal and gone on with as they say."""

from __future__ import annotations

import re
import shlex
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from running_commands import Running, run

from prunecli.errors import InputRefused, WrongUse
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.diary import FILE
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune

LATE = 120.0
GEOMETRIC = ("prune", "--ratio", "0.6", "--strategy", "geometric", "--steps", "3", "--epochs", "9")
GHFP = ("prune", "--ratio", "0.5", "--strategy", "ghfp", "--epochs", "8")


@pytest.mark.parametrize(
    ("arguments", "mark", "number"),
    [
        pytest.param(GEOMETRIC, "bite 2.*\nepoch 1/", signal.SIGINT, id="in a later bite"),
        pytest.param(GEOMETRIC, "bite 1.*\nepoch 2/", signal.SIGTERM, id="before the first bite is done"),
        pytest.param(GHFP, "\nepoch 3/", signal.SIGINT, id="along one training"),
    ],
)
def test_the_line_that_a_stopped_strategy_prints_leads_to_the_same_file(
    tmp_path: Path, arguments: tuple[str, ...], mark: str, number: int
) -> None:
    asked = (*arguments, "-o", "small.safetensors")
    running = Running(*asked, folder=tmp_path)
    until = time.monotonic() + LATE
    while not re.search(mark, running.said, re.DOTALL):
        assert time.monotonic() < until, running.said
        time.sleep(0.01)
    running.send(number)
    ended = running.wait()
    assert ended.code == 128 + number, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors.run"]
    said = ended.err.splitlines()
    resume = next(each for each in said if each.startswith("  to go on: ")).removeprefix("  to go on: ")
    program, *rest = shlex.split(resume)
    assert (program, rest) == ("prunecli", [*asked, "--resume", "small.safetensors.run"])

    gone_on = run(*rest, folder=tmp_path)
    assert gone_on.code == 0, gone_on.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]
    whole = run(*arguments, "-o", "whole.safetensors", folder=tmp_path)
    assert whole.code == 0, whole.err
    resumed, uninterrupted = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("small", "whole"))
    assert resumed == uninterrupted


def test_a_strategy_of_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    output = str(tmp_path / "small.safetensors")
    kept = tmp_path / "small.safetensors.run"
    bites = BiteWishes(steps=2)
    made = {"ratio": 0.5, "strategy": "geometric", "epochs": 2, "bites": bites, "output": output}
    with pytest.raises(InputRefused, match="no interrupted run"):
        prune(Opening(), **made, resume=str(kept))
    with pytest.raises(WrongUse, match="nothing to go on with"):
        prune(Opening(), ratio=0.5, resume=str(kept))

    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        if "bite 2" in stage:
            raise StopError

    with pytest.raises(StopError):
        prune(Opening(), **made, progress=stop)
    assert (kept / FILE).exists()
    with pytest.raises(WrongUse, match="holds the state of an interrupted run"):
        prune(Opening(), **made)
    with pytest.raises(WrongUse, match=r"begun with ratio 0\.5, not 0\.4"):
        prune(Opening(), **{**made, "ratio": 0.4}, resume=str(kept))
    result = prune(Opening(), **made, resume=str(kept))
    assert [record.epoch for record in result.history] == [0, 1]
    assert not kept.exists()
