"""Progress: a line an epoch in a log, a bar on a terminal, nothing when quiet."""

from __future__ import annotations

import io
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from prunecli.cli.progress_bar import MovingBar, Stage, fitted, progress_bar
from prunecli.progress import silent

TRAINING = {"epoch": 2, "loss": 0.41239, "accuracy": 93.125, "images/s": 12345.6}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def bar_of(columns, *, encoding="utf-8"):
    """A bar, and a function that draws it into `columns` as lines."""
    paper = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=paper, width=columns, force_terminal=True, color_system=None, legacy_windows=False)
    bar = MovingBar(console)

    def drawn():
        with console.capture() as captured:
            console.print(bar.lines())
        return captured.get().splitlines()

    return bar, drawn


def test_quiet_is_silent():
    with progress_bar(quiet=True) as progress:
        assert progress is silent


def test_a_log_gets_one_line_an_epoch(capsys):
    with progress_bar(quiet=False) as progress:
        progress("score", 1, 2)
        progress("train", 30, 100, TRAINING)
        progress("epoch", 0, 10)
        progress("epoch", 3, 10, {"loss": 0.41, "accuracy": 93.1})
        progress("finetune epoch", 4, 10, {"loss": 0.123456})
    captured = capsys.readouterr()
    assert captured.err == "epoch 3/10 loss 0.41 accuracy 93.1\nfinetune epoch 4/10 loss 0.1235\n"
    assert captured.out == ""


def test_a_terminal_gets_a_bar_with_running_values(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar(quiet=False) as progress:
        assert isinstance(progress, MovingBar)
        progress("epoch", 3, 10, {"loss": 0.41})
        progress("score", 1, 2)
    drawn = terminal.getvalue()
    assert "3/10" in drawn
    assert "loss 0.41" in drawn
    assert capsys.readouterr().out == ""


def test_a_training_shows_epoch_loss_accuracy_speed_and_time_left(clock):
    bar, drawn = bar_of(160)
    bar("train", 100, 1000, TRAINING)
    assert "--:-- epoch 2 loss 0.4124" in drawn()[0]
    clock[0] += 60
    bar("train", 200, 1000, TRAINING)
    [line] = drawn()
    assert line.startswith("train ━")
    assert line.endswith(" 08:00 epoch 2 loss 0.4124 accuracy 93.12 12,346 images/s 200/1000")


def test_time_left_is_that_of_the_steps_that_were_seen(clock):
    """A resumed training begins in the middle, and an hour needs a further place."""
    bar, drawn = bar_of(160)
    bar("train", 5000, 10000, TRAINING)
    clock[0] += 10
    bar("train", 5001, 10000, TRAINING)
    assert " 13:53:10 " in drawn()[0]
    clock[0] += 1000
    assert " 13:53:10 " in drawn()[0]
    bar("train", 10000, 10000, TRAINING)
    assert ":" not in drawn()[0]


def test_epochs_have_no_bar_beside_that_of_their_steps():
    bar, drawn = bar_of(100)
    bar("train", 100, 300, TRAINING)
    bar("epoch", 1, 3, {"loss": 0.25, "accuracy": 95.5})
    [line] = drawn()
    # The loss in front is that of training; accuracy is the newest there is.
    assert "epoch 2/3 loss 0.4124 accuracy 95.50" in line


def test_epochs_alone_have_a_bar():
    bar, drawn = bar_of(100)
    bar("soft epoch", 1, 3, {"loss": 0.25})
    assert drawn()[0].startswith("soft epoch ━")
    assert drawn()[0].endswith("loss 0.2500 1/3")


def test_a_stage_that_begins_again_starts_anew(clock):
    bar, drawn = bar_of(80)
    bar("evaluate", 4, 4)
    clock[0] += 1000
    bar("evaluate", 1, 4)
    clock[0] += 1
    bar("evaluate", 2, 4)
    assert drawn()[0].endswith("2/4 00:02")


@pytest.mark.parametrize("columns", [*range(1, 30), 40, 60, 80, 160])
@pytest.mark.parametrize("name", ["train", "measuring the noise floor of criteria", "訓練を続ける"])
def test_a_line_never_breaks(columns, name):
    bar, drawn = bar_of(columns)
    bar(name, 12345, 99999, {**TRAINING, "epoch": 100})
    bar("score", 1, 2)
    assert len(drawn()) == 2
    assert all(cell_len(line) <= columns for line in drawn())


@pytest.mark.parametrize(
    ("columns", "bar", "words"),
    [
        (160, 40, "--:-- epoch 2 loss 0.4124 accuracy 93.12 12,346 images/s 512/9000"),
        (80, 17, "--:-- epoch 2 loss 0.4124 accuracy 93.12 12,346 images/s"),
        (60, 13, "--:-- epoch 2 loss 0.4124 accuracy 93.12"),
        (40, 8, "--:-- epoch 2 loss 0.4124"),
        (20, 8, "--:--"),
        (10, 4, ""),
        (6, 0, ""),
    ],
)
def test_what_tells_least_goes_first_where_there_is_no_room(columns, bar, words):
    name, length, text = fitted(Stage("train", 512, 9000, TRAINING, first=512), columns)
    assert (length, text) == (bar, words)
    assert len(" ".join(part for part in (name, "━" * length, text) if part)) <= columns


@pytest.mark.parametrize(("variable", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_no_bar_in_ci_or_on_a_dumb_terminal(monkeypatch, variable, value):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    with progress_bar(quiet=False) as progress:
        assert not isinstance(progress, MovingBar)


def test_a_remark_is_told_at_once_and_remembered(capsys):
    with progress_bar(quiet=False) as progress:
        progress("taking the bundled sample", 0, 0)
        assert capsys.readouterr().err == "taking the bundled sample\n"
        assert progress.told == ["taking the bundled sample"]


def test_a_remark_stands_above_the_bar_and_steers_no_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(quiet=False) as progress:
        progress("train", 1, 2)
        progress("read [bold]\x1b]0;x\x07", 0, 0)
        assert progress.told == ["read [bold]\x1b]0;x\x07"]
    assert r"read [bold]\x1b]0;x\x07" in terminal.getvalue()
    assert "\x1b]0;" not in terminal.getvalue()
