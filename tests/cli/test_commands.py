"""What each command hands to its workflow, and what it shows of the result."""

from __future__ import annotations

import csv
import importlib
import inspect
import io
import json
import sys
from dataclasses import fields

import pytest

from prunecli.cli.gathering import Subject
from prunecli.errors import GateNotMet
from prunecli.strategies.parts import PartWishes

ARGUMENTS = {
    "inspect": ["inspect", "m.pt"],
    "score": ["score", "m.pt", "--criteria", "l1,l2"],
    "compare": ["compare", "m.pt", "--criteria", "l1,l2", "--ratio", "0.3,0.5"],
    "prune": ["prune", "m.pt", "--ratio", "0.5"],
    "finetune": ["finetune", "m.pt", "--epochs", "1"],
    "evaluate": ["evaluate", "m.pt"],
    "export": ["export", "m.pt", "--to", "onnx"],
}
KEYWORDS = {
    "inspect": {"graph", "output", "widths", "force", "keep"},
    "score": {"criteria", "scope", "seed", "calibration", "save", "stream", "force", "keep", "progress"},
    "compare": {
        *("criteria", "ratios", "scores", "seed", "top", "calibration", "noise_floor", "cwda", "judge_cuts"),
        *("fail_above", "keep", "progress"),
    },
    "prune": {
        *("ratio", "criterion", "strategy", "scope", "residual", "round_to", "min_channels", "protect"),
        *("layer_ratio", "seed", "data", "evaluate", "epochs", "training", "bites", "max_drop", "plan"),
        *(
            "parts",
            "loss_aware",
            "rewind",
            "checkpoint_every",
            "checkpoint_dir",
            "resume",
            "recalibrate",
            "batches",
        ),
        *("skip_bad_images", "plan_out", "dry_run", "stream", "output", "force", "progress", "scores"),
        *("target", "normalization", "sensitivity", "latency_batch", "keep"),
    },
    "finetune": {
        *("data", "settings", "recalibrate", "teacher", "logs", "checkpoint_every", "checkpoint_dir"),
        *("resume", "skip_bad_images", "validation_share", "output", "force", "keep", "progress"),
    },
    "evaluate": {"data", "batch_size", "seed", "skip_bad_images", "progress"},
    "export": {"to", "opset", "dtype", "weights", "fuse", "data", "output", "force", "progress"},
}


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_workflow_gets_the_agreed_keywords(cli, workflows, command):
    assert cli(*ARGUMENTS[command]).code == 0
    assert set(workflows[command].given) == KEYWORDS[command]
    assert workflows[command].opening.checkpoint == "m.pt"


@pytest.mark.parametrize("command", KEYWORDS)
def test_the_real_workflow_takes_those_keywords(command):
    workflow = getattr(importlib.import_module(f"prunecli.workflows.{command}"), command)
    subject, *rest = inspect.signature(workflow).parameters.values()
    assert subject.name == "opening"
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in rest)
    assert {parameter.name for parameter in rest} >= KEYWORDS[command]
    required = {parameter.name for parameter in rest if parameter.default is inspect.Parameter.empty}
    assert required <= KEYWORDS[command]


def test_the_real_opening_has_those_fields():
    opening = importlib.import_module("prunecli.workflows.opening").Opening
    own = {"allow_nonfinite"}  # of inspect alone
    assert {field.name for field in fields(Subject)} == {field.name for field in fields(opening)} - own


@pytest.mark.parametrize("command", ARGUMENTS)
def test_json_is_the_document_after_schema_and_version(cli, workflows, documents, command):
    outcome = cli(*ARGUMENTS[command], "--json")
    written = json.loads(outcome.out, parse_constant=pytest.fail)
    assert list(written)[:2] == ["schema", "version"]
    assert written["schema"] == f"prunecli.{command}/1"
    assert list(written)[2:] == list(documents[command])


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_results_go_to_standard_output_and_notes_to_standard_error(cli, workflows, command, form):
    outcome = cli(*ARGUMENTS[command], "--format", form)
    assert outcome.code == 0
    assert outcome.out
    assert "read model.safetensors" in outcome.err
    assert "read model.safetensors" not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("command", "path"),
    [("prune", "small.safetensors\n"), ("finetune", "tuned.safetensors\n"), ("export", "small.onnx\n")],
)
def test_quiet_prints_only_the_path(cli, workflows, command, path):
    outcome = cli(*ARGUMENTS[command], "-q")
    assert (outcome.out, outcome.err) == (path, "")


@pytest.mark.parametrize("command", ["inspect", "score", "compare", "evaluate"])
def test_quiet_prints_nothing_where_nothing_is_written(cli, workflows, command):
    outcome = cli(*ARGUMENTS[command], "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_quiet_with_a_format_asked_for_keeps_the_result(cli, workflows):
    outcome = cli(*ARGUMENTS["evaluate"], "--quiet", "--json")
    assert json.loads(outcome.out)["accuracy"] == 97.5
    assert outcome.err == ""


def test_a_checkpoint_on_standard_output_sends_the_result_to_standard_error(
    cli, workflows, documents, result_type
):
    def work(_given):
        sys.stdout.write("BINARY")
        return result_type({**documents["prune"], "output": {**documents["prune"]["output"], "path": "-"}})

    workflows["prune"].then = work
    outcome = cli(*ARGUMENTS["prune"], "-o", "-", "--json")
    assert outcome.out == "BINARY"
    assert '"schema": "prunecli.prune/1"' in outcome.err
    assert cli(*ARGUMENTS["prune"], "-o", "-", "-q").err == ""


def test_what_third_parties_print_does_not_reach_standard_output(cli, workflows, documents, result_type):
    def work(_given):
        sys.stdout.write("exporting ...\n")
        return result_type(documents["export"])

    workflows["export"].then = work
    outcome = cli(*ARGUMENTS["export"], "--json")
    assert json.loads(outcome.out)["format"] == "onnx"
    assert "exporting ..." in outcome.err


def test_prune_options_arrive_typed(cli, workflows):
    outcome = cli(
        *["prune", "m.pt", "--ratio", "0.5", "--criterion", "l1", "--strategy", "ghfp", "--scope", "global"],
        *["--round-to", "8", "--min-channels", "4", "--protect", "conv1", "--protect", "fc*"],
        *["--layer-ratio", "layer3.*=0.7", "--layer-ratio", "a=b=0.2", "--seed", "7", "--epochs", "3"],
        *["--lr", "0.1", "--batch-size", "64", "--max-drop", "1.5", "--residual", "inner", "--force"],
        *["--optimizer", "adamw", "--steps", "3", "--trigger", "drop:1.5", "--epochs-each", "2", "--distill"],
        *["--ratio-schedule", "cubic", "--hardness", "removed", "--freeze", "conv1", "--resume", "small.run"],
        *["-o", "small.safetensors", "--plan-out", "plan.json", "--dry-run", "--data", "digits", "--stream"],
    )
    assert outcome.code == 0
    given = dict(workflows["prune"].given)
    given.pop("progress")
    assert given.pop("keep").paths == (None,) * 4
    training = given.pop("training")
    assert given.pop("bites").steps == 3
    assert given.pop("parts") == PartWishes(
        schedule="cubic", hardness="removed", trigger="drop", drop=1.5, epochs_each=2, distill=True
    )
    assert given.pop("loss_aware").pool == ("l1", "l2", "fpgm", "cosine")
    assert training.freeze == ("conv1",)
    assert (training.lr, training.batch_size, training.optimiser, training.seed) == (0.1, 64, "adamw", 7)
    assert given == {
        "ratio": 0.5,
        "criterion": "l1",
        "strategy": "ghfp",
        "scope": "global",
        "normalization": None,
        "sensitivity": None,
        "target": None,
        "latency_batch": 1,
        "residual": "inner",
        "round_to": 8,
        "min_channels": 4,
        "protect": ("conv1", "fc*"),
        "layer_ratio": {"layer3.*": 0.7, "a=b": 0.2},
        "seed": 7,
        "data": "digits",
        "evaluate": True,
        "epochs": 3,
        "recalibrate": None,
        "skip_bad_images": False,
        "max_drop": 1.5,
        "plan": None,
        "scores": None,
        "batches": 8,
        "plan_out": "plan.json",
        "dry_run": True,
        "stream": True,
        "output": "small.safetensors",
        "force": True,
        "rewind": None,
        "checkpoint_every": None,
        "checkpoint_dir": None,
        "resume": "small.run",
    }


def test_the_opening_arrives_typed(cli, workflows):
    sha = "AB" * 32
    cli(
        *["inspect", "m.pt", "--arch", "cifar/resnet20", "--input-shape", "3x32x32", "--trust-pickle", sha],
        *[
            "--ema",
            "--device",
            "cuda:1",
            "--mean",
            "0.5,0.5,0.5",
            "--std",
            "0.25,0.25,0.25",
            "--model",
            "n.py:f",
            "--threads",
            "3",
        ],
    )
    opening = workflows["inspect"].opening
    assert opening.input_shape == (3, 32, 32)
    assert type(opening.input_shape) is tuple
    assert opening.trust_pickle == sha.lower()
    assert opening.mean == (0.5, 0.5, 0.5)
    assert (opening.ema, opening.device, opening.model) == (True, "cuda:1", "n.py:f")
    assert opening.threads == 3


@pytest.mark.parametrize(
    ("arguments", "measured"),
    [
        (["m.pt"], False),
        ([], True),
        (["m.pt", "--data", "digits"], True),
        (["m.pt", "--max-drop", "1"], True),
        (["--no-evaluate"], False),
        (["m.pt", "--evaluate"], True),
    ],
)
def test_accuracy_is_measured_when_it_is_wanted(cli, workflows, arguments, measured):
    cli("prune", *arguments, "--ratio", "0.5")
    assert workflows["prune"].given["evaluate"] is measured


def test_a_plan_is_carried_out_whatever_the_ratio_says(cli, workflows):
    assert cli("prune", "m.pt", "--plan", "plan.json").code == 0
    assert workflows["prune"].given["ratio"] is None
    assert workflows["prune"].given["plan"] == "plan.json"


@pytest.mark.parametrize("spelling", ["--criterion", "--criteria"])
def test_criterion_is_spelled_both_ways_everywhere(cli, workflows, spelling):
    assert cli("prune", "m.pt", "--ratio", "0.5", spelling, "fpgm").code == 0
    assert workflows["prune"].given["criterion"] == "fpgm"
    assert cli("score", "m.pt", spelling, "fpgm,l1", spelling, "l1").code == 0
    assert workflows["score"].given["criteria"] == ("fpgm", "l1")


def test_defaults_of_compare(cli, workflows):
    assert cli("compare").code == 0
    assert workflows["compare"].given["criteria"] == ("l1", "l2", "fpgm")
    assert workflows["compare"].given["ratios"] == (0.3, 0.5)
    assert workflows["compare"].opening.checkpoint is None


def test_the_next_command_is_suggested(cli, workflows):
    assert cli(*ARGUMENTS["prune"]).err.splitlines()[-1] == (
        "next: prunecli finetune small.safetensors --data DATA --epochs 10 -o small-tuned.safetensors"
    )


def test_csv_of_scores_has_every_number_in_full(cli, workflows):
    rows = list(csv.reader(io.StringIO(cli(*ARGUMENTS["score"], "--format", "csv").out)))
    assert rows == [
        ["layer", "type", "filter", "l1", "l2"],
        ["conv1", "Conv2d", "0", "1.0", "0.1234567890123"],
        ["conv1", "Conv2d", "1", "3.0", ""],
    ]


def test_no_progress_reaches_the_result(cli, workflows, documents, result_type):
    def work(given):
        given["progress"]("epoch", 3, 10, {"loss": 0.41234, "accuracy": 93.1})
        given["progress"]("score", 1, 4)
        return result_type(documents["finetune"], notes=())

    workflows["finetune"].then = work
    outcome = cli(*ARGUMENTS["finetune"], "--json")
    assert outcome.err.splitlines()[0] == "epoch 3/10 loss 0.4123 accuracy 93.1"
    assert "epoch 3/10" not in outcome.out
    assert cli(*ARGUMENTS["finetune"], "-q").err == ""


def test_standard_input_that_is_no_pipe_is_refused(cli, workflows, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    outcome = cli("inspect", "-")
    assert outcome.code == 2
    assert "standard input is no pipe" in outcome.err


def test_a_gate_error_without_result_is_only_an_error(cli, workflows):
    def work(_given):
        raise GateNotMet("nothing could be pruned")

    workflows["prune"].then = work
    outcome = cli(*ARGUMENTS["prune"])
    assert (outcome.code, outcome.out) == (1, "")


def test_the_graph_goes_to_standard_output_in_place_of_the_tables(cli):
    outcome = cli("inspect", "--graph", "mermaid")
    assert outcome.code == 0
    assert outcome.out.startswith("flowchart TD\n")
    assert "next:" not in outcome.err


def test_a_graph_in_a_file_stands_beside_the_result(cli, tmp_path):
    drawn = tmp_path / "graph.dot"
    outcome = cli("inspect", "-o", str(drawn), "--json")
    assert json.loads(outcome.out)["output"]["format"] == "dot"
    assert drawn.read_text().startswith("digraph channels {")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "graph.png"], "error: 'graph.png' does not say how the channel graph is to be drawn"),
        (["--graph", "svgg"], "error: unknown drawing 'svgg'"),
        (["--graph", "svg", "--json"], "error: --graph svg and --format json both ask for standard output"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_before_any_work(cli, workflows, arguments, message):
    outcome = cli("inspect", "m.pt", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(message)
    assert not workflows["inspect"].calls
