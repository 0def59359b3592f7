"""Ctrl-C, SIGTERM, readers that go away, closed streams: one line, the right code, nothing half-written."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from running_commands import Ended, Running, run

CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
LATE = 60.0
# What each prints when it is at work, and what it leaves when it is stopped then.
HOLDS = "the output is held"
_TRAINED = ("epoch 2/", {"t.safetensors.run"})
LONG: dict[str, tuple[str, str, set[str]]] = {
    "score": ("score --criteria taylor,hrank --batches 500 --save s.safetensors", "taking digits", set()),
    "compare": ("compare --criteria taylor,hrank --batches 500 --report r.json", "taking digits", set()),
    "export": ("export --to pt2 -o x.pt2", "taking the bundled", set()),
    "bench": ("bench --rounds 100000 --report r.json", HOLDS, set()),
    "finetune": ("finetune --epochs 80 -o t.safetensors", *_TRAINED),
    "prune": ("prune --ratio 0.5 --strategy sfp --epochs 80 -o t.safetensors", *_TRAINED),
    "sweep": ("sweep --trials 3 --epochs 4 -o b.safetensors", "of the MACs", {"sweep.journal"}),
}
QUICK = {
    "inspect": "inspect --json",
    "score": "score --json",
    "compare": "compare",
    "prune": "prune --ratio 0.5 --json",
    "evaluate": "evaluate",
    "catalog": "catalog criteria",
    "bench": "bench --rounds 2 --no-memory --json",
    "finetune": "finetune --epochs 1 -o t.safetensors",
    "export": "export --to safetensors -o x.safetensors",
    "sensitivity": "sensitivity --ratio 0.5",
}


def stopped(command: str, mark: str, number: int, folder: Path) -> Ended:
    """The command, sent a signal once it has said `mark`."""
    running = Running(*command.split(), folder=folder)
    until = time.monotonic() + LATE
    while not (any(folder.glob(".*.lock")) if mark == HOLDS else mark in running.said):
        assert time.monotonic() < until, running.said
        time.sleep(0.01)
    time.sleep(0.05)
    running.send(number)
    return running.wait()


@pytest.mark.parametrize("name", LONG)
def test_a_stopped_command_says_so_in_one_line(name: str, tmp_path: Path) -> None:
    command, mark, left = LONG[name]
    number = signal.SIGTERM if len(name) % 2 else signal.SIGINT
    ended = stopped(command, mark, number, tmp_path)
    code, word = CODES[number]
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    said = ended.err[ended.err.index("error: ") :].splitlines()
    assert len(said) == (2 if left else 1), said
    if left:
        assert said[1].startswith(f"  to go on: prunecli {name} "), said
    else:
        assert said == [f"error: {word}"]
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_second_wish_to_stop_does_not_wait_for_the_step(tmp_path: Path) -> None:
    running = Running(
        *["finetune", "--epochs", "2", "-o", "t.safetensors"],
        folder=tmp_path,
        before="faults.systems:make_steps_last",
    )
    while "stepping" not in running.said:
        time.sleep(0.01)
    running.send(signal.SIGINT)
    time.sleep(1.1)  # sooner, and it may be the first one that came by two ways
    running.send(signal.SIGINT)
    ended = running.wait()
    assert ended.code == 130
    assert ended.err.endswith("error: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", QUICK)
def test_a_reader_that_goes_away_is_no_failure(name: str, tmp_path: Path) -> None:
    ended = run(*QUICK[name].split(), folder=tmp_path, before="faults.systems:take_the_reader_away")
    assert ended.code in (0, 141), ended.err
    assert "error" not in ended.err
    assert "Broken" not in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", QUICK)
def test_closed_streams_are_met_without_a_traceback(name: str, tmp_path: Path) -> None:
    without_error = run(*QUICK[name].split(), folder=tmp_path, closed=[2])
    assert without_error.code == 0
    assert without_error.out
    without_input = run(*QUICK[name].split(), *_again(name), folder=tmp_path, closed=[0])
    assert without_input.code == 0, without_input.err
    ended = run(*QUICK[name].split(), *_again(name), folder=tmp_path, closed=[1])
    assert ended.code == 4
    assert ended.err.splitlines()[-1] == "error: the result cannot be written: standard output is closed"
    assert "Traceback" not in ended.err


def test_memory_is_measured_in_another_process_without_streams(tmp_path: Path) -> None:
    ended = run("bench", "--rounds", "2", "--json", folder=tmp_path, closed=[0, 2])
    assert ended.code == 0, ended.out
    [model] = json.loads(ended.out)["models"]
    assert model["peak_memory_bytes"] > 0


def _again(name: str) -> list[str]:
    return ["--force"] if "-o" in QUICK[name].split() else []
