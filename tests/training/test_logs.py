"""Logs hold what was told to them, go on where a training was interrupted, and never cost a training."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap

import pytest

from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.training.logs import json_lines, open_logs, opening, places
from prunecli.training.logs import mlflow as mlflow_log
from prunecli.training.logs.records import epoch_scalars, flat, result_scalars, step_scalars
from prunecli.training.settings import EpochRecord

RUN = "20260101-120000-abcd"
FACTS = {"data": "digits", "settings": {"lr": 0.5, "freeze": ["stem*"], "clip": None}}
STEP = {"epoch": 1, "step": 3, "lr": 0.5, "loss": 1.25, "images_per_second": 1000.0}
END = {"best": {"epoch": 2, "accuracy": 75.0}, "after": {"accuracy": 70.5, "loss": 0.5}, "recalibrated": None}
TRAINED = {
    "train/loss": [(3, 1.25)],
    "train/lr": [(3, 0.5)],
    "train/images_per_second": [(3, 1000.0)],
    "epoch/train_loss": [(1, 2.0), (2, 1.0)],
    "validation/loss": [(1, 1.5), (2, 0.75)],
    "validation/accuracy": [(1, 50.0), (2, 75.0)],
    "epoch/lr": [(1, 0.5), (2, 0.25)],
    "epoch/seconds": [(1, 8.0), (2, 8.0)],
    "epoch/images_per_second": [(1, 900.0), (2, 900.0)],
    "result/best/epoch": [(2, 2.0)],
    "result/best/accuracy": [(2, 75.0)],
    "result/after/accuracy": [(2, 70.5)],
    "result/after/loss": [(2, 0.5)],
}


def record(epoch):
    return EpochRecord(
        epoch=epoch,
        lr=0.5 / (epoch + 1),
        train_loss=2.0 / (epoch + 1),
        loss=1.5 / (epoch + 1),
        accuracy=25.0 * (epoch + 2),
        seconds=8.0,
        images_per_second=900.0,
    )


def told(logs, *, facts=FACTS):
    with logs:
        logs.start(facts)
        logs.step(STEP)
        logs.epoch(record(0))
        logs.epoch(record(1))
        logs.finish(END)
    return logs


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_hold_every_event_in_order(tmp_path):
    path = tmp_path / "train.jsonl"
    told(open_logs([str(path)]))
    start, step, first, second, end = lines_of(path)
    times = [line.pop("time") for line in (start, step, first, second, end)]
    assert times == sorted(times)
    assert times[0] > 1.7e9
    assert start == {"event": "start", **FACTS, "resumed": False}
    assert step == {"event": "step", **STEP}
    assert first == {
        "event": "epoch",
        "epoch": 1,
        "lr": 0.5,
        "train_loss": 2.0,
        "loss": 1.5,
        "accuracy": 50.0,
        "seconds": 8.0,
        "images_per_second": 900.0,
    }
    assert second["epoch"] == 2
    assert end == {"event": "finish", **END}


def test_nothing_is_made_before_the_start_and_a_line_is_there_as_soon_as_it_is_told(tmp_path):
    path = tmp_path / "log"
    logs = open_logs([f"jsonl:{path}"])
    assert not path.exists()
    logs.start({})
    logs.step({**STEP, "loss": math.nan})
    assert lines_of(path)[1]["loss"] is None
    logs.close()


def test_a_resumed_log_goes_on_and_loses_only_the_line_that_was_cut_off(tmp_path):
    path = tmp_path / "train.jsonl"
    told(open_logs([str(path)]))
    before = path.read_bytes()
    path.write_bytes(before + b'{"event": "step", "ti')
    with open_logs([str(path)], resumed=True) as logs:
        logs.start({"step": 3})
    assert path.read_bytes().startswith(before)
    [start] = lines_of(path)[5:]
    assert (start["event"], start["resumed"], start["step"]) == ("start", True, 3)


def test_a_resumed_log_that_is_not_there_is_begun(tmp_path):
    path = tmp_path / "train.jsonl"
    told(open_logs([str(path)], resumed=True))
    assert [line["event"] for line in lines_of(path)] == ["start", "step", "epoch", "epoch", "finish"]


@pytest.mark.parametrize("content", ['{"a": 1}\n', "notes\n", "[]\n"])
def test_a_file_that_is_no_log_is_not_added_to(tmp_path, content):
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    with pytest.raises(WrongUse, match="no log of an earlier part"):
        open_logs([str(path)], resumed=True)
    assert path.read_text() == content
    told(open_logs([str(path)], resumed=True, force=True))
    assert lines_of(path)[0]["event"] == "start"


def test_an_existing_file_is_kept_without_force_but_an_empty_one_is_taken(tmp_path):
    path = tmp_path / "train.jsonl"
    path.touch()
    told(open_logs([str(path)]))
    with pytest.raises(WrongUse, match="exists") as caught:
        open_logs([str(path)])
    assert caught.value.hints == ("to replace it: --force",)
    told(open_logs([str(path)], force=True))
    assert len(lines_of(path)) == 5


def test_an_input_is_never_replaced(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    with pytest.raises(WrongUse, match="input itself"):
        open_logs([f"jsonl:{path}"], force=True, inputs=[path])
    assert path.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("tensorbord", "unknown log 'tensorbord'", "did you mean 'tensorboard'?"),
        (
            "wandb:x",
            "unknown log 'wandb:x'",
            "valid: FILE.jsonl, jsonl:FILE, tensorboard[:FOLDER], mlflow[:URI]",
        ),
        ("jsonl", "needs the name of a file", "--log jsonl:train.jsonl"),
        ("jsonl:-", "needs the name of a file", "--log jsonl:train.jsonl"),
        ("absent/train.jsonl", "absent does not exist", "make it: mkdir -p"),
        ("tensorboard:here.txt", "here.txt is a file", "choose another folder"),
        ("mlflow:here.txt/deep", "here.txt is a file", "choose another folder"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tmp_path, monkeypatch, spec, message, hint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: True)
    (tmp_path / "here.txt").touch()
    with pytest.raises(WrongUse, match=message.replace("[", r"\[")) as caught:
        open_logs([spec])
    assert any(line.startswith(hint) for line in caught.value.hints)
    assert [path.name for path in tmp_path.iterdir()] == ["here.txt"]


@pytest.mark.parametrize("specs", [["a.jsonl", "jsonl:./a.jsonl"], ["tensorboard", "tensorboard"]])
def test_the_same_place_twice_is_refused(tmp_path, monkeypatch, specs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: True)
    with pytest.raises(WrongUse, match="asked for twice"):
        open_logs(specs)


@pytest.mark.parametrize(
    ("spec", "absent", "extra"),
    [
        ("tensorboard", "tensorboard", "tensorboard"),
        ("mlflow", "mlflow", "mlflow"),
        ("mlflow", "sqlalchemy", "mlflow"),
        ("mlflow:sqlite:///a.db", "sqlalchemy", "mlflow"),
    ],
)
def test_a_missing_package_is_said_with_what_to_install(monkeypatch, spec, absent, extra):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None if name == absent else True)
    with pytest.raises(WorkFailed, match=f"needs {absent}, which is not installed") as caught:
        open_logs([spec])
    assert caught.value.hints == (f"install it: pip install 'prunecli[{extra}]'",)


def test_a_server_needs_no_database_here(monkeypatch):
    monkeypatch.setattr(
        places.importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else True
    )
    open_logs(["mlflow:http://127.0.0.1:9"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    open_logs(["mlflow"])


@pytest.mark.parametrize("run", ["../up", "a/b", "", " ", "it's"])
def test_the_name_of_a_training_cannot_lead_elsewhere(run):
    if run:
        with pytest.raises(InputRefused, match="cannot be the name"):
            open_logs([], run=run)
    else:
        names = {open_logs([], run=run).run for _ in range(20)}
        assert len(names) > 1
        assert all(opening._RUN.fullmatch(name) for name in names)


def test_no_log_is_a_log_that_says_nothing():
    assert told(open_logs([])).notes == ()


class Failing:
    """Fails at one method, and counts what is told to it."""

    def __init__(self, method, error):
        self.method, self.error, self.calls = method, error, []

    def __getattr__(self, name):
        def call(*_):
            self.calls.append(name)
            if name == self.method:
                raise self.error

        return call


def test_a_log_that_fails_later_is_given_up_and_the_others_go_on():
    full = OSError(28, "No space left on device")
    failing, sound, remarks = Failing("step", full), Failing(None, None), []
    logs = opening.Logs(
        {"a.jsonl": failing, "b.jsonl": sound}, progress=lambda *told: remarks.append(told[:3])
    )
    told(logs)
    assert failing.calls == ["start", "step", "close"]
    assert sound.calls == ["start", "step", "epoch", "epoch", "finish", "close"]
    line = "the log a.jsonl was given up: No space left on device"
    assert logs.notes == (line,)
    assert remarks == [(line, 0, 0)]


def test_a_log_that_cannot_be_opened_ends_the_work():
    logs = opening.Logs({"mlflow": Failing("start", ValueError("no\nserver"))})
    with pytest.raises(WorkFailed, match="the log mlflow cannot be opened: no server"), logs:
        logs.start({})


def test_an_interruption_is_no_failure_of_a_log():
    logs = opening.Logs({"a.jsonl": Failing("step", KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        logs.step(STEP)


def test_a_password_in_an_address_is_not_told():
    assert opening._shown("mlflow:https://me:secret@host/path") == "mlflow:https://host/path"


def test_a_file_that_can_no_longer_be_written_is_given_up(tmp_path):
    path = tmp_path / "train.jsonl"
    logs = open_logs([str(path)])
    logs.start({})
    [log] = logs._members.values()
    assert isinstance(log, json_lines.JsonLines)
    log._file.close()
    logs.step(STEP)
    assert len(logs.notes) == 1


def test_figures_are_drawn_under_names_that_say_of_which_part_they_are():
    assert step_scalars({**STEP, "loss": math.inf}) == {"train/lr": 0.5, "train/images_per_second": 1000.0}
    assert epoch_scalars(record(1))["validation/accuracy"] == 75.0
    assert result_scalars({**END, "stopped_early": True, "file": "a"}) == {
        "result/best/epoch": 2.0,
        "result/best/accuracy": 75.0,
        "result/after/accuracy": 70.5,
        "result/after/loss": 0.5,
    }
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}, between=".") == {"a.b.c": 1, "d": [2]}


def drawn(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }, found.Tags()["tensors"]


def test_tensorboard_draws_every_figure_in_a_folder_of_the_training(tmp_path):
    pytest.importorskip("tensorboard")
    told(open_logs([f"tensorboard:{tmp_path / 'runs'}"], run=RUN))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [RUN]
    scalars, texts = drawn(tmp_path / "runs" / RUN)
    assert scalars == TRAINED
    assert texts == ["start/text_summary"]


def test_a_resumed_training_replaces_the_steps_that_it_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    spec = f"tensorboard:{tmp_path}"
    with open_logs([spec], run=RUN) as logs:
        logs.start(FACTS)
        for step in (10, 20, 21, 30):
            logs.step({**STEP, "step": step})
    with open_logs([spec], run=RUN, resumed=True) as logs:
        logs.start({"step": 20})
        logs.step({**STEP, "step": 25, "loss": 0.5})
    assert drawn(tmp_path / RUN)[0]["train/loss"] == [(10, 1.25), (20, 1.25), (25, 0.5)]


def stored(place, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = tracking.MlflowClient(tracking_uri=str(place))
    experiment = client.get_experiment_by_name("prunecli")
    return client, client.search_runs([experiment.experiment_id])


def test_mlflow_has_a_finished_run_with_settings_and_figures(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    told(open_logs([f"mlflow:{tmp_path / 'mlruns'}"], run=RUN))
    client, [run] = stored(tmp_path / "mlruns", monkeypatch)
    assert (run.info.run_name, run.info.status) == (RUN, "FINISHED")
    assert run.data.params == {
        "data": "digits",
        "settings.lr": "0.5",
        "settings.freeze": "['stem*']",
        "settings.clip": "None",
    }
    found = {
        name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    assert found == TRAINED


def test_a_training_that_breaks_off_is_a_killed_run_and_goes_on_in_it(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    spec = f"mlflow:{tmp_path / 'mlruns'}"
    with open_logs([spec], run=RUN) as logs:
        logs.start(FACTS)
        logs.epoch(record(0))
    _, [killed] = stored(tmp_path / "mlruns", monkeypatch)
    assert killed.info.status == "KILLED"
    told(open_logs([spec], run="another"))
    with open_logs([spec], run=RUN, resumed=True) as logs:
        logs.start({"settings": {"lr": 99}})
        logs.epoch(record(1))
        logs.finish(END)
    client, runs = stored(tmp_path / "mlruns", monkeypatch)
    assert len(runs) == 2
    resumed = client.get_run(killed.info.run_id)
    assert resumed.info.status == "FINISHED"
    assert resumed.data.params["settings.lr"] == "0.5"
    history = client.get_metric_history(killed.info.run_id, "validation/accuracy")
    assert [(each.step, each.value) for each in history] == [(1, 50.0), (2, 75.0)]


def test_steps_are_sent_to_mlflow_together(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    logs = open_logs([f"mlflow:{tmp_path / 'mlruns'}"], run=RUN)
    logs.start({})
    [log] = logs._members.values()
    sent = []
    monkeypatch.setattr(log._client, "log_batch", lambda run, metrics: sent.append(len(metrics)))
    monkeypatch.setattr(mlflow_log.time, "monotonic", lambda: 1e6)
    for _ in range(400):
        logs.step(STEP)
    logs.epoch(record(0))
    assert sent == [3, 1000, 203]
    logs.close()


@pytest.mark.parametrize(
    ("specs", "made"),
    [
        (["tensorboard", "mlflow:folder"], {"runs", "folder"}),
        pytest.param(["mlflow:sqlite:///a.db"], {"a.db"}, marks=pytest.mark.slow),
    ],
)
def test_the_packages_say_nothing_and_the_environment_is_left_alone(tmp_path, specs, made):
    for package in ("tensorboard", "mlflow", "sqlalchemy"):
        pytest.importorskip(package)
    program = f"""
    import os
    before = dict(os.environ)
    from prunecli.training.logs import open_logs
    with open_logs({specs!r}) as logs:
        logs.start({{"data": "digits"}})
        logs.step({{"epoch": 1, "step": 1, "loss": 1.0}})
        logs.finish({{"after": {{"accuracy": 1.0}}}})
    assert logs.notes == (), logs.notes
    assert dict(os.environ) == before
    """
    ran = subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} == made
