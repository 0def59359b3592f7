"""Progress: a line an epoch in a log, a bar on a terminal, nothing when quiet."""

from __future__ import annotations

import io

import pytest

from prunecli.cli.progress_bar import MovingBar, progress_bar
from prunecli.progress import silent


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_quiet_is_silent():
    with progress_bar(quiet=True) as progress:
        assert progress is silent


def test_a_log_gets_one_line_an_epoch(capsys):
    with progress_bar(quiet=False) as progress:
        progress("score", 1, 2)
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
