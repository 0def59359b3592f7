"""A study: places taken once, dead trials taken up, other studies refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from prunecli.errors import InputRefused, WrongUse
from prunecli.search.samplers import SAMPLERS
from prunecli.search.space import Span
from prunecli.search.study import open_study
from prunecli.search.trials import TakenOver
from prunecli.search.workers import began, is_gone, machine, myself

SPACE = {"ratio": (0.3, 0.5, 0.7), "criterion": ("l1", "l2")}


@pytest.fixture
def storage(tmp_path):
    return str(tmp_path / "a.journal")


BOTH = pytest.mark.parametrize("file", ["a.journal", pytest.param("a.db", marks=pytest.mark.slow)])


def opened(storage, space=SPACE, **given):
    return open_study(space, storage=storage, name="s", **given)


def finished(study, limit, count=100):
    found = []
    while len(found) < count and (taken := study.take(limit)) is not None:
        taken.finish((50.0, 1.0))
        found.append((taken.slot, tuple(taken.values.values())))
    return found


@BOTH
def test_two_hands_on_one_study_make_each_place_once(tmp_path, file):
    storage = str(tmp_path / file)
    one, other = opened(storage), opened(storage)
    found = []
    for _ in range(3):
        first, second = one.take(6), other.take(6)
        found += [first, second]
        for taken in (second, first):
            taken.finish((90.0, 2.0))
    assert one.take(6) is None
    assert other.take(6) is None
    assert sorted(taken.slot for taken in found) == list(range(6))
    assert len({tuple(taken.values.items()) for taken in found}) == 6
    assert [record.state for record in one.records()] == ["complete"] * 6


def test_of_two_that_want_the_same_place_the_later_gives_way(storage):
    """Both saw it free."""
    one, other = opened(storage), opened(storage)
    first = one._made(0, {"ratio": 0.5, "criterion": "l1"}, {}, {})
    assert first.slot == 0
    assert other._made(0, {"ratio": 0.5, "criterion": "l2"}, {}, {}) is None
    assert [record.number for record in other.records()] == [first.number]


def test_of_two_that_want_the_same_values_the_later_gives_way(storage):
    study = opened(storage, sampler="random")
    values = {"ratio": 0.5, "criterion": "l1"}
    assert study._made(0, values, {}, {}) is not None
    assert study._made(1, values, {}, {}) is None
    assert study.take(2).values != values


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_goes_on_where_it_was_left(storage, sampler, tmp_path):
    space = {"ratio": Span(0.2, 0.5, 0.05), "criterion": ("l1", "l2")}
    first = finished(opened(storage, space, sampler=sampler, seed=3), 5, count=2)
    rest = finished(opened(storage, space, sampler=sampler, seed=3), 5)
    whole = finished(opened(str(tmp_path / "whole.journal"), space, sampler=sampler, seed=3), 5)
    assert [*first, *rest] == whole
    assert len(whole) == 5


def test_another_sampler_goes_on_with_the_points_that_are_left(storage):
    begun = finished(opened(storage, sampler="random"), 3)
    rest = finished(opened(storage, sampler="grid"), 100)
    assert len(begun) == 3
    assert len({values for _, values in [*begun, *rest]}) == 6
    assert [slot for slot, _ in rest] == [3, 4, 5]


def test_a_trial_that_was_given_back_keeps_its_values_and_runs(storage):
    study = opened(storage)
    taken = study.take(6)
    taken.keep_run({"accuracy": 91.0})
    taken.release()
    again = opened(storage).take(6)
    assert (again.slot, dict(again.values)) == (taken.slot, dict(taken.values))
    assert again.runs == [{"accuracy": 91.0}]
    again.keep_run({"accuracy": 92.0})
    again.finish((91.5, 1.0))
    (record,) = study.records()
    assert [run["accuracy"] for run in record.runs] == [91.0, 92.0]
    assert record.figures == (91.5, 1.0)


WORKING = """
import time
from prunecli.search.study import open_study
study = open_study({space!r}, storage={storage!r}, name="s", sampler={sampler!r})
while (taken := study.take({limit})) is not None:
    time.sleep(0.02)
    taken.finish((50.0, 1.0))
    print(taken.slot, flush=True)
"""


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_processes_at_once_make_each_place_once(storage, sampler):
    space = {"a": tuple(range(6)), "b": tuple(range(4))}
    script = WORKING.format(space=space, storage=storage, sampler=sampler, limit=20)
    at_work = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    made = [[int(line) for line in process.communicate(timeout=60)[0].split()] for process in at_work]
    assert [process.returncode for process in at_work] == [0, 0, 0]
    assert sorted(slot for slots in made for slot in slots) == list(range(20))
    records = opened(storage, space, sampler=sampler).records()
    assert len(records) == 20
    assert len({tuple(record.values.values()) for record in records}) == 20


DYING = """
import os, sys
from prunecli.search.study import open_study
taken = open_study({space!r}, storage={storage!r}, name="s").take(6)
taken.keep_run({{"accuracy": 91.0}})
print(taken.slot, flush=True)
os.kill(os.getpid(), 9)
"""


@BOTH
def test_the_trial_of_a_killed_process_is_taken_up(tmp_path, file):
    storage = str(tmp_path / file)
    script = DYING.format(space=SPACE, storage=storage)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    study = opened(storage)
    assert [record.state for record in study.records()] == ["running"]
    taken = study.take(6)
    assert taken.slot == int(done.stdout)
    assert taken.runs == [{"accuracy": 91.0}]
    assert len(finished(study, 6)) == 5


def test_a_living_process_keeps_its_trial(storage):
    mine = opened(storage).take(6)
    assert opened(storage, lost_after=0.0).take(6).slot != mine.slot


@BOTH
def test_a_trial_that_was_taken_over_says_so(tmp_path, file):
    storage = str(tmp_path / file)
    study = opened(storage)
    taken = study.take(6)
    study._study.tell(taken.number, state=_failed())
    for change in (
        lambda: taken.keep_run({}),
        lambda: taken.finish((1.0, 1.0)),
        lambda: taken.stop({}),
        taken.release,
    ):
        with pytest.raises(TakenOver):
            change()


def test_what_was_stopped_or_failed_is_not_tried_again(storage):
    study = opened(storage)
    study.take(2).stop({"layer": "semantic"})
    study.take(2).fail({"reason": "out of memory"})
    assert study.take(2) is None
    assert [(each.state, each.end) for each in study.records()] == [
        ("stopped", {"layer": "semantic"}),
        ("failed", {"reason": "out of memory"}),
    ]
    assert study.take(3) is not None


def test_a_study_of_something_else_is_refused(storage):
    opened(storage, origin={"epochs": 2, "ratios": [0.3, 0.5]})
    opened(storage, origin={"epochs": 2, "ratios": [0.3, 0.5]})
    with pytest.raises(WrongUse, match="the study 's' was begun with epochs 2, not 3"):
        opened(storage, origin={"epochs": 3, "ratios": [0.3, 0.5]})
    with pytest.raises(WrongUse, match=r"with ratios 0\.3, 0\.5, not 0\.3"):
        opened(storage, origin={"epochs": 2, "ratios": [0.3]})
    with pytest.raises(WrongUse, match="with epochs 2, not none"):
        opened(storage, origin={"ratios": [0.3, 0.5]})


def test_a_study_that_somebody_else_made_is_refused(tmp_path):
    import optuna

    path = str(tmp_path / "b.journal")
    backend = optuna.storages.journal.JournalFileBackend(path)
    kept = optuna.storages.JournalStorage(backend)
    optuna.create_study(storage=kept, study_name="s").ask()
    with pytest.raises(InputRefused, match="was made by something else"):
        opened(path)


def test_a_worker_elsewhere_is_gone_when_it_has_been_silent():
    elsewhere = {**myself(), "machine": "another"}
    now = time.time()
    assert not is_gone(elsewhere, seen=now - 10, lost_after=60)
    assert is_gone(elsewhere, seen=now - 100, lost_after=60)
    assert not is_gone(None, seen=now - 10, lost_after=60)


def test_a_worker_here_is_gone_when_its_process_is():
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    now = time.time()
    assert is_gone({**myself(), "pid": done.pid}, seen=now, lost_after=60)
    assert not is_gone(myself(), seen=now - 1000, lost_after=60)
    assert socket.gethostname() in machine()


@pytest.mark.skipif(began(os.getpid()) is None, reason="the system does not say when a process began")
def test_a_later_process_of_the_same_number_is_another_one():
    assert is_gone({**myself(), "since": "1"}, seen=time.time(), lost_after=60)


def _failed():
    import optuna

    return optuna.trial.TrialState.FAIL


def test_what_a_sampler_notes_on_its_trials_is_kept(storage):
    study = opened(storage, {"a": tuple(range(20)), "b": tuple(range(20))}, sampler="nsga2")
    for _ in range(14):
        study.take(14).finish((50.0, 1.0))
    notes = [trial.system_attrs for trial in study._trials()]
    generations = [value for note in notes for key, value in note.items() if key.endswith(":generation")]
    assert generations == [0] * 10 + [1] * 4
