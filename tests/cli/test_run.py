"""Exit codes, the form of an error, and what happens to a run that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from prunecli.errors import GateNotMet, InputRefused, Interrupted, WorkFailed, WrongUse

PRUNE = ("prune", "m.safetensors", "--ratio", "0.5")


def raising(error):
    def work(_given):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            GateNotMet("accuracy fell by 3.10 points, 1.00 allowed"),
            1,
            "accuracy fell by 3.10 points, 1.00 allowed",
        ),
        (WrongUse("small.safetensors exists"), 2, "small.safetensors exists"),
        (InputRefused("m.safetensors is missing"), 3, "m.safetensors is missing"),
        (WorkFailed("loss is not finite"), 4, "loss is not finite"),
        (MemoryError(), 4, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 4, "out of memory"),
        (OSError(28, "No space left on device", "x.pt"), 4, "no space left on the disk for x.pt"),
        (BrokenPipeError(), 4, "whoever reads standard output went away before all was written"),
        (ZeroDivisionError("a\nb"), 4, "internal error: ZeroDivisionError: a b"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Interrupted("stopped after epoch 3"), 130, "stopped after epoch 3"),
    ],
)
def test_each_failure_has_its_code_and_one_line(cli, workflows, error, code, line):
    workflows["prune"].then = raising(error)
    outcome = cli(*PRUNE)
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.splitlines()[0] == f"error: {line}"
    assert len(outcome.err.splitlines()) <= 4
    assert "Traceback" not in outcome.err


def test_no_more_than_three_hints(cli, workflows):
    workflows["prune"].then = raising(InputRefused("no", hints=["a", "b", "c", "d"]))
    assert cli(*PRUNE).err == "error: no\n  a\n  b\n  c\n"


@pytest.mark.parametrize("flag", ["-v", "--verbose", "-qv"])
def test_a_traceback_only_with_verbose(cli, workflows, flag):
    workflows["prune"].then = raising(WorkFailed("no"))
    outcome = cli(*PRUNE, flag)
    assert outcome.err.startswith("Traceback")
    assert outcome.err.endswith("error: no\n")


def test_verbose_may_come_from_the_configuration(cli, workflows, tmp_path):
    (tmp_path / "prunecli.toml").write_text("verbose = true\n")
    workflows["prune"].then = raising(WorkFailed("no"))
    assert cli(*PRUNE).err.startswith("Traceback")


def test_control_characters_of_a_message_do_not_reach_the_terminal(cli, workflows):
    workflows["prune"].then = raising(InputRefused("tensor '\x1b[2Jx' is sparse"))
    assert cli(*PRUNE).err == "error: tensor '\\x1b[2Jx' is sparse\n"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["prun"], ["unknown command 'prun'", "did you mean 'prune'?"]),
        (["prune", "--rato", "0.5"], ["prunecli prune has no option '--rato'", "did you mean '--ratio'?"]),
        (["--verison"], ["prunecli has no option '--verison'", "did you mean '--version'?"]),
        (["inspect", "a", "b"], ["prunecli inspect takes no argument 'b'", "see: prunecli inspect --help"]),
        (["prune", "--ratio", "0.5", "--criterion", "l3"], ["unknown criterion 'l3'", "did you mean 'l2'?"]),
        (
            ["prune", "--ratio", "0.5", "--strategy", "ghpf"],
            ["unknown strategy 'ghpf'", "did you mean 'ghfp'?"],
        ),
        (["score", "--criteria", "l1,fpmg"], ["unknown criterion 'fpmg'", "did you mean 'fpgm'?"]),
        (
            ["prune", "--ratio", "0.5", "--scope", "globl"],
            ["unknown scope 'globl'", "did you mean 'global'?"],
        ),
        (["catalog", "criterias"], ["unknown kind 'criterias'", "did you mean 'criteria'?"]),
        (["export", "--to", "onx"], ["unknown exporter 'onx'", "did you mean 'onnx'?"]),
        (["prune", "--ratio"], ["option '--ratio' requires an argument"]),
        (["prune"], ["prune needs to know how much to remove"]),
        (["score", "--json", "--format", "csv"], ["--json and --format csv ask for two formats"]),
        (
            ["evaluate", "--data", "digits", "--batch-size", "0"],
            ["--batch-size takes a whole number from 1 on, not '0'"],
        ),
        (["prune", "--residual", "skip", "--ratio", "0.5"], ["unknown residual 'skip'"]),
    ],
)
def test_wrong_use_is_said_with_the_nearest_match(cli, workflows, arguments, lines):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    told = [line.removeprefix("error: ").strip() for line in outcome.err.splitlines()]
    assert told[: len(lines)] == lines
    assert outcome.err.startswith("error: ")
    assert len(told) <= 4
    assert not any(recorder.calls for recorder in workflows.values())


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "nan", "inf", "half", ""])
def test_a_ratio_out_of_range_is_refused_before_any_work(cli, workflows, value):
    outcome = cli("prune", "m", f"--ratio={value}")
    assert outcome.code == 2
    assert "takes a fraction of channels to remove, 0 < R < 1" in outcome.err
    assert not workflows["prune"].calls


def test_an_option_of_another_command_is_named(cli):
    assert "--ratio belongs to: compare, prune" in cli("evaluate", "--ratio", "0.5").err


def test_a_file_instead_of_a_command(cli, tmp_path):
    (tmp_path / "m.pth").touch()
    assert "prunecli inspect m.pth" in cli("m.pth").err


def test_without_arguments_the_help_is_shown_and_that_is_wrong_use(cli):
    outcome = cli()
    assert outcome.code == 2
    assert outcome.out.startswith("Usage: prunecli")
    assert outcome.err == ""
    assert cli("--help").out == outcome.out


def test_version(cli):
    from prunecli.version import __version__

    assert cli("--version").out == f"prunecli {__version__}\n"


def test_a_missed_gate_still_shows_the_result(cli, workflows, documents, result_type):
    gate = GateNotMet("accuracy fell by 7.25 points, 1.00 allowed")
    workflows["prune"].then = lambda _: result_type(documents["prune"], gate=gate)
    outcome = cli(*PRUNE, "--max-drop", "1", "--json")
    assert outcome.code == 1
    assert '"after"' in outcome.out
    assert "error: accuracy fell by 7.25 points" in outcome.err
    assert "next:" not in outcome.err


def test_a_missed_gate_may_carry_its_result(cli, workflows, documents, result_type):
    gate = GateNotMet("nothing could be pruned")
    gate.result = result_type(documents["prune"])  # type: ignore[attr-defined]
    workflows["prune"].then = raising(gate)
    outcome = cli(*PRUNE)
    assert outcome.code == 1
    assert "Before and after" in outcome.out


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_unwinds_the_work_and_leaves_its_code(number, code, word):
    script = """
import sys, time
from types import ModuleType
import prunecli.cli.commands.evaluate as command
from prunecli.cli.run import run
class Opening:
    def __init__(self, **given): pass
def evaluate(opening, **given):
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", file=sys.stderr, flush=True)
for name, member in (("opening", Opening), ("evaluate", evaluate)):
    module = ModuleType(f"prunecli.workflows.{name}")
    setattr(module, member.__name__, member)
    sys.modules[module.__name__] = module
sys.exit(run(["evaluate", "m.pt"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err == f"cleaned up\nerror: {word}\n"
    assert out == ""
