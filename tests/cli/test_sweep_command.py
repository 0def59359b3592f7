"""What `prunecli sweep` hands to its workflow, what it refuses, and how a trial is said as `prune`."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from types import ModuleType

import pytest
import typer

from prunecli.cli.app import application
from prunecli.cli.sweep_options import SAMPLERS as OFFERED
from prunecli.errors import GateNotMet
from prunecli.search.samplers import SAMPLERS
from prunecli.search.space import Span
from prunecli.workflows.sweep_request import EPOCHS, STORAGE, Budget, StudyWish, SweepSpace

VALUES = {"ratio": 0.5, "criterion": "l2", "strategy": "one-shot", "scope": "local"}


def trial(number, **changed):
    plain = {
        "number": number,
        "state": "complete",
        "values": VALUES,
        "seeds": 3,
        "accuracy": {"validation": 97.0, "spread": 0.5, "seeds": [96.5, 97.0, 97.5]},
        "macs": 250,
        "params": 25,
        "epochs": 10,
        "seconds": 6.0,
        "stopped": None,
        "failed": None,
        "command": "prunecli prune --ratio 0.5",
    }
    return {**plain, **changed}


DOCUMENT = {
    "checkpoint": {"path": "m.safetensors", "sha256": "ab" * 32, "architecture": "digits/resnet8"},
    "data": "digits",
    "study": {"name": "sweep-1", "storage": "sweep.journal", "sampler": "grid"},
    "space": {"ratios": [0.5], "criteria": ["l2"], "strategies": ["one-shot"], "scopes": ["local"]},
    "limit": 3,
    "seeds": 3,
    "seed": 0,
    "epochs": 10,
    "max_drop": None,
    "dense": {"accuracy": 99.0, "macs": 1000, "params": 100},
    "trials": [
        trial(0),
        trial(
            1,
            state="stopped",
            seeds=1,
            accuracy={"validation": 80.0, "spread": None},
            stopped={"layer": "comparison", "reason": "behind", "seconds_saved": 4.0},
        ),
        trial(
            2,
            state="failed",
            seeds=0,
            accuracy={"validation": None, "spread": None},
            macs=None,
            params=None,
            epochs=None,
            seconds=0.0,
            failed="out of memory",
        ),
    ],
    "front": [0],
    "best": 0,
    "saved": {"seconds": 4.0, "trials": 1, "layers": {"comparison": 1, "semantic": 0, "threshold": 0}},
    "seconds": 8.0,
    "chosen": None,
    "output": None,
}


class Recording:
    """A workflow that only remembers how it was called."""

    def __init__(self, result_type):
        self.given, self.opening, self.document, self.gate = {}, None, DOCUMENT, None
        self.result_type = result_type

    def __call__(self, opening, **given):
        self.opening, self.given = opening, given
        return self.result_type(self.document, gate=self.gate)


@pytest.fixture
def workflow(monkeypatch, result_type):
    recording = Recording(result_type)
    module = ModuleType("prunecli.workflows.sweep")
    module.sweep = recording
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return recording


def test_the_workflow_gets_what_was_asked(cli, workflow):
    ran = cli(
        *("sweep", "m.pt", "--ratio", "0.3,0.5", "--criteria", "l1,fpgm", "--strategies", "one-shot,ghfp"),
        *("--scopes", "local,global", "--trials", "7", "--sampler", "random", "--seeds", "2", "--seed", "5"),
        *("--max-drop", "1.5", "--threshold-from", "1", "--timeout", "60", "--storage", "a.journal"),
        *("--stop-by", "semantic,threshold"),
        *("--study", "mine", "--lost-after", "5", "--epochs", "4", "--lr", "0.02", "--data", "digits"),
        *("--min-channels", "4", "--layer-ratio", "conv1=0.1", "-o", "best.safetensors", "--pick", "3"),
    )
    assert ran.code == 0, ran.err
    given = workflow.given
    assert workflow.opening.checkpoint == "m.pt"
    assert given["space"] == SweepSpace(
        ratios=(0.3, 0.5),
        criteria=("l1", "fpgm"),
        strategies=("one-shot", "ghfp"),
        scopes=("local", "global"),
    )
    assert given["budget"] == Budget(
        trials=7,
        seeds=2,
        seed=5,
        timeout=60.0,
        max_drop=1.5,
        threshold_from=1,
        stop_by=("semantic", "threshold"),
    )
    assert given["study"] == StudyWish(storage="a.journal", name="mine", sampler="random", lost_after=300.0)
    pruning = given["pruning"]
    assert (pruning["epochs"], pruning["min_channels"], pruning["layer_ratio"]) == (4, 4, {"conv1": 0.1})
    assert (pruning["training"].lr, pruning["training"].seed) == (0.02, 5)
    assert "seed" not in pruning
    assert (given["data"], given["pick"], given["output"]) == ("digits", 3, "best.safetensors")


def test_what_is_not_said_is_as_in_the_workflow(cli, workflow):
    assert cli("sweep").code == 0
    assert workflow.given["space"] == SweepSpace()
    assert workflow.given["budget"] == Budget()
    assert workflow.given["study"] == StudyWish(storage=STORAGE)
    assert workflow.given["pruning"]["epochs"] == EPOCHS


def test_every_pruning_argument_is_one_of_prune(cli, workflow):
    import inspect

    from prunecli.workflows.prune import prune

    assert cli("sweep").code == 0
    assert set(workflow.given["pruning"]) <= set(inspect.signature(prune).parameters)


def test_nothing_may_stop_a_trial(cli, workflow):
    assert cli("sweep", "--stop-by", "none").code == 0
    assert workflow.given["budget"].stop_by == ()
    assert "did you mean 'semantic'?" in cli("sweep", "--stop-by", "sematic").err


def test_a_range_of_ratios_has_its_hundredths(cli, workflow):
    assert cli("sweep", "--ratio", "0.2..0.8").code == 0
    assert workflow.given["space"].ratios == Span(0.2, 0.8, 0.01)


def test_targets_are_said_as_prune_takes_them(cli, workflow):
    assert cli("sweep", "--target", "macs=0.5,params=3e6", "--target", "latency=5ms").code == 0
    assert workflow.given["space"] == SweepSpace(targets=("macs=0.5", "params=3e6", "latency=5ms"))
    line = workflow.given["command_of"](
        {"target": "macs=0.5", "criterion": "l2", "strategy": "one-shot", "scope": "local"}
    )
    assert line == "prunecli prune --target macs=0.5 --criterion l2 --strategy one-shot --epochs 10"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "macs=0.5,mac=0.3"], "--target takes"),
        (["--target", "macs=0.5", "--ratio", "0.5"], "--ratio and --target both say how much to remove"),
        (["--ratio", "0.8..0.2"], "--ratio takes fractions with commas between them, or a range"),
        (["--ratio", "0.2..0.8,0.3"], "--ratio takes fractions with commas between them, or a range"),
        (["--ratio", "0.2..0.8", "--ratio", "0.5"], "a range of ratios stands alone"),
        (["--ratio", "1.5"], "--ratio takes fractions of channels to remove"),
        (["--criteria", "l3"], "unknown criterion 'l3'"),
        (["--strategies", "one-shot,gfhp"], "did you mean 'ghfp'?"),
        (["--scopes", "lokal"], "did you mean 'local'?"),
        (["--sampler", "gird"], "did you mean 'grid'?"),
        (["--trials", "0"], "--trials takes a whole number from 1 on"),
        (["--timeout", "0"], "--timeout takes a number greater than 0"),
        (["--pick", "3"], "add: -o best.safetensors"),
    ],
)
def test_what_cannot_be_is_wrong_use(cli, workflow, arguments, said):
    ran = cli("sweep", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert workflow.opening is None


def test_without_optuna_the_extra_is_named_in_one_line(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = cli("sweep")
    assert ran.code == 2
    assert ran.err == "error: trials need the extra tune: pip install 'prunecli[tune]'\n"


def test_the_samplers_offered_are_those_there_are():
    assert OFFERED is SAMPLERS


def test_the_front_comes_first_and_then_what_became_of_the_trials(cli, workflow):
    out = cli("sweep").out
    assert out.startswith("Front: accuracy on the validation part against MACs\n")
    assert "    0    0.5   97.00 %    0.50   -2.00   250  25.0 %  best" in out
    assert "in every trial   l2, one-shot, local" in out
    assert "epochs of a run  10" in out
    assert "stopped: behind others that cost no more  1" in out
    assert "broke down                                1" in out
    assert "time saved by stopping                    4.0 s of 12.0 s (33.3 %)" in out
    assert "0  prunecli prune --ratio 0.5" in out


def test_the_names_that_differ_stand_in_one_column(cli, workflow):
    other = trial(3, values={**VALUES, "criterion": "fpgm", "scope": "global"}, macs=100, epochs=15)
    workflow.document = {**DOCUMENT, "trials": [*DOCUMENT["trials"], other], "front": [3, 0]}
    lines = cli("sweep").out.splitlines()
    assert lines[1].split()[:4] == ["trial", "criterion", "scope", "ratio"]
    assert lines[3].split()[:4] == ["3", "fpgm", "global", "0.5"]
    assert "in every trial   one-shot" in lines
    assert "epochs of a run  10 to 15" in lines


def test_nothing_to_show_is_shown(cli, workflow):
    workflow.document = {**DOCUMENT, "trials": [], "front": [], "best": None, "seconds": 0.0} | {
        "saved": {"seconds": 0.0, "trials": 0, "layers": {}}
    }
    ran = cli("sweep")
    assert ran.code == 0, ran.err
    assert "not done yet       3" in ran.out
    assert "next: the same command goes on" in ran.err


def test_csv_has_a_row_a_trial(cli, workflow):
    rows = list(csv.DictReader(io.StringIO(cli("sweep", "--format", "csv").out)))
    assert [row["state"] for row in rows] == ["complete", "stopped", "failed"]
    assert [row["front"] for row in rows] == ["true", "false", "false"]
    assert [row["reason"] for row in rows] == ["", "behind", "out of memory"]
    assert rows[1]["seconds_saved"] == "4.0"


def test_json_is_the_document(cli, workflow):
    document = json.loads(cli("sweep", "--json").out)
    assert document["schema"] == "prunecli.sweep/1"
    assert {key: document[key] for key in DOCUMENT} == DOCUMENT


def test_a_missed_gate_shows_the_result_first(cli, workflow):
    workflow.gate = GateNotMet("every trial loses more than the 1 points allowed")
    ran = cli("sweep")
    assert ran.code == 1
    assert "Front" in ran.out
    assert "error: every trial loses more" in ran.err


def test_the_next_command_keeps_the_best(cli, workflow):
    assert "next: the same with -o best.safetensors keeps the network of trial 0" in cli("sweep").err


def test_a_password_is_in_no_report(cli, workflow, monkeypatch):
    address = "postgresql://me:secret@host/db"
    monkeypatch.setattr(sys, "argv", ["prunecli", "sweep", "--storage", address])
    assert cli("sweep", "--storage", address).code == 0
    assert workflow.given["study"].storage == address
    assert "secret" not in workflow.given["keep"].command


LINES = (
    ([], "prunecli prune --ratio 0.5 --criterion l2 --strategy one-shot --epochs 10"),
    (
        [
            "a b.pt",
            "--epochs",
            "3",
            "--seed",
            "4",
            "--data",
            "digits",
            "--protect",
            "conv1",
            "--protect",
            "fc",
        ],
        "prunecli prune 'a b.pt' --ratio 0.5 --criterion l2 --strategy one-shot --epochs 3 "
        "--protect conv1 --protect fc --seed 4 --data digits",
    ),
    (
        [
            "--layer-ratio",
            "layer3.*=0.7",
            "--bites",
            "0.2,0.5",
            "--trigger",
            "drop:1.5",
            "--no-distill",
            "--ema",
        ],
        "prunecli prune --ratio 0.5 --criterion l2 --strategy one-shot --epochs 10 --ema "
        "--layer-ratio 'layer3.*=0.7' --trigger drop:1.5 --no-distill --bites 0.2,0.5",
    ),
    (
        ["--input-shape", "1x8x8", "--mean", "0.1", "--lr", "0.02", "--freeze", "conv1"],
        "prunecli prune --ratio 0.5 --criterion l2 --strategy one-shot --epochs 10 --input-shape 1x8x8 "
        "--mean 0.1 --lr 0.02 --freeze conv1",
    ),
)


@pytest.mark.parametrize(("arguments", "line"), LINES)
def test_a_trial_is_said_as_a_line_that_prune_takes(cli, workflow, arguments, line):
    assert cli("sweep", *arguments).code == 0
    command_of = workflow.given["command_of"]
    assert command_of(VALUES) == line
    assert "--scope global" in command_of({**VALUES, "scope": "global"})
    command = typer.main.get_command(application()).commands["prune"]
    context = command.make_context("prune", shlex.split(line)[2:])
    assert context.params["ratio"] == 0.5
