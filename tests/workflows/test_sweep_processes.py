"""Real processes that share a storage: no trial twice, a killed one's is taken up, stopping loses nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ARGUMENTS = (
    "sweep",
    "--ratio",
    "0.3,0.5,0.7",
    "--criteria",
    "l1,l2",
    "--epochs",
    "1",
    "--seeds",
    "2",
    "--storage",
    "shared.journal",
)


def begun(*further: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "prunecli", *ARGUMENTS, *further],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*further: str, folder: Path) -> dict[str, object]:
    process = begun("--json", *further, folder=folder)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out)


def runs_of(folder: Path) -> Counter[tuple[object, ...]]:
    """How often each seed of each point was run, by the journal itself."""
    points: list[tuple[int, ...]] = []
    found: Counter[tuple[object, ...]] = Counter()
    for line in (folder / "shared.journal").read_text().splitlines():
        entry = json.loads(line)
        if entry["op_code"] == 4:  # a trial is made, with the runs of a dead one where there was one
            points.append(tuple(entry["params"].values()))
        elif entry["op_code"] == 8:  # something is written on a trial
            names = [name for name in entry["user_attr"] if name.startswith("run ")]
            found.update((*points[entry["trial_id"]], name) for name in names)
    return found


def test_two_processes_make_all_trials_and_none_twice(tmp_path):
    both = [begun(folder=tmp_path) for _ in range(2)]
    worked = []
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        worked.append(sum(line.startswith("trial ") for line in err.splitlines()))
    assert sum(worked) == 6
    assert min(worked) > 0
    document = finished(folder=tmp_path)
    points = Counter((each["values"]["ratio"], each["values"]["criterion"]) for each in document["trials"])
    assert len(points) == 6
    assert set(points.values()) == {1}
    assert set(runs_of(tmp_path).values()) == {1}
    assert document["front"]


def test_two_processes_share_a_database_file(tmp_path):
    storage = ("--storage", "shared.db", "--epochs", "0")
    both = [begun(*storage, folder=tmp_path) for _ in range(2)]
    worked = []
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        worked.append(sum(line.startswith("trial ") for line in err.splitlines()))
    assert sum(worked) == 6
    document = finished(*storage, folder=tmp_path)
    points = Counter((each["values"]["ratio"], each["values"]["criterion"]) for each in document["trials"])
    assert len(points) == 6
    assert set(points.values()) == {1}


def test_what_a_killed_process_left_is_taken_up(tmp_path):
    killed = begun(folder=tmp_path)
    assert killed.stderr is not None
    for line in killed.stderr:
        if line.startswith("trial 0"):
            os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    document = finished(folder=tmp_path)
    points = {(each["values"]["ratio"], each["values"]["criterion"]) for each in document["trials"]}
    assert len(points) == len(document["trials"]) == 6
    assert {each["state"] for each in document["trials"]} <= {"complete", "stopped"}
    # The run that was killed was not finished, and what was finished was not run again.
    assert set(runs_of(tmp_path).values()) == {1}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_line_that_a_stopped_sweep_prints_goes_on(tmp_path, number, code):
    stopped = begun("--trials", "2", folder=tmp_path)
    assert stopped.stderr is not None
    said = []
    for line in stopped.stderr:
        said.append(line.rstrip("\n"))
        if line.startswith("trial 0"):
            stopped.send_signal(number)
    assert stopped.wait() == code, said
    assert "error: stopped with 1 of 2 trials done" in said
    going_on = next(line for line in said if line.startswith("  to go on: "))
    program, *rest = shlex.split(going_on.removeprefix("  to go on: "))
    assert (program, rest) == ("prunecli", [*ARGUMENTS, "--trials", "2"])
    document = finished("--trials", "2", folder=tmp_path)
    assert len(document["trials"]) == 2
    assert set(runs_of(tmp_path).values()) == {1}
