"""docs/ci.md, the action, the hook and the examples for CI: their commands run, their options are there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from docs.console import execute, faults
from docs.markdown import ROOT, blocks, table

from prunecli.cli.app import application
from prunecli.gates.table import GATES

PAGE = ROOT / "docs" / "ci.md"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
GITHUB = yaml.safe_load((ROOT / "examples" / "ci" / "github.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab.yml").read_text(encoding="utf-8"))
STEPS = GITHUB["jobs"]["gates"]["steps"]


def commands(text):
    """The lines of a script that call prunecli."""
    return [line for line in text.splitlines() if line.startswith("prunecli ")]


@pytest.fixture(autouse=True)
def no_ci(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_the_commands_answer_as_shown(folder):
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_the_gates_are_those_of_the_code():
    rows = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[3])) for row in table(PAGE, "Gates")}
    known = {
        gate.option: {name for name in gate.figure.after if gate.answered_by(name, with_baseline=False)}
        for gate in GATES.values()
    }
    assert rows == known
    assert list(rows) == list(known)


def test_the_keys_are_those_of_the_document(folder):
    Path("report.json").write_bytes(execute("prunecli inspect model.safetensors --json").output)
    document = json.loads(
        execute("prunecli check report.json --max-size 1MB --junit check.xml --json").output
    )
    section = PAGE.read_text(encoding="utf-8").partition("## JSON")[2]
    named = set(re.findall(r"`(\w+)`", section)) - {"null"}
    assert named == {
        *(set(document) - {"schema", "version"}),
        *document["gates"][0],
        *document["files"][0],
        *document["output"],
    }


@pytest.mark.parametrize(
    "lines",
    [
        [line for step in STEPS for line in commands(step.get("run", ""))],
        commands("\n".join(GITLAB["pruned-network"]["script"])),
    ],
    ids=["github", "gitlab"],
)
def test_the_examples_run_to_the_end(folder, lines):
    assert len(lines) >= 5
    for line in lines:
        ran = execute(line)
        assert ran.exit_codes == (0,), (line, ran.notes)


def test_the_examples_have_the_shape_that_their_readers_want():
    assert GITHUB[True] == ["pull_request"]  # YAML 1.1 takes the key `on` for a truth value
    assert all(("uses" in step) != ("run" in step) for step in STEPS)
    job = GITLAB["pruned-network"]
    written = {Path(name).name for name in re.findall(r"--junit (\S+)", "\n".join(job["script"]))}
    assert set(job["artifacts"]["reports"]["junit"]) == written
    assert job["artifacts"]["when"] == "always"


def test_the_action_is_a_composite_one_and_its_use_is_shown():
    assert {"name", "description", "inputs", "runs"} <= set(ACTION)
    assert ACTION["runs"]["using"] == "composite"
    assert all({"shell", "run"} <= set(step) for step in ACTION["runs"]["steps"])
    assert all("description" in given for given in ACTION["inputs"].values())
    shown = [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml") if block.heading == "GitHub"]
    given = shown[0][0]["with"]
    required = {name for name, said in ACTION["inputs"].items() if said.get("required")}
    assert required <= set(given) <= set(ACTION["inputs"])


def test_no_text_of_a_workflow_becomes_part_of_a_script():
    for step in (*ACTION["runs"]["steps"], *STEPS):
        assert "${{" not in step.get("run", "")
    named = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(named) == set(ACTION["inputs"])


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ({"gates": "--max-params 1M"}, 0, "gates met  1 of 1"),
        ({"gates": "--max-params\n  10k --max-size 1MB"}, 1, "gates met  1 of 2"),
        ({"gates": "--max-params 10k", "exit-zero": "true"}, 0, "gates met  0 of 1"),
        ({"gates": "--min-macs-cut 0", "baseline": "a report.json"}, 0, "counted from  a report.json"),
        ({"gates": "--max-params 1M", "reports": "a report.json\nreport.json\n"}, 0, "gates met  2 of 2"),
        (
            {"gates": "--max-params *", "junit": "new.xml"},
            2,
            "--max-params takes an amount such as 3M, not '*'",
        ),
        ({"gates": "--max-params 1M", "reports": "$(touch spoiled)"}, 3, "cannot be read"),
    ],
)
def test_the_script_of_the_action_does_what_the_inputs_say(folder, given, code, says):
    for name in ("report.json", "a report.json"):
        Path(name).write_bytes(execute("prunecli inspect model.safetensors --json").output)
    inputs = {name: given.get(name, said.get("default", "")) for name, said in ACTION["inputs"].items()}
    step = ACTION["runs"]["steps"][-1]
    variables = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)
        for name, text in step["env"].items()
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={**os.environ, **variables, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == code, ran.stderr
    assert says in ran.stdout + ran.stderr
    assert not Path("spoiled").exists()


def test_the_hook_runs_a_command_that_there_is():
    (hook,) = HOOKS
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["entry"].split() == ["prunecli", "check"]
    assert re.search(hook["files"], "models/report.json")
    (shown,) = [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml") if block.heading == "pre-commit"]
    (used,) = shown["repos"][0]["hooks"]
    assert used["id"] == hook["id"]
    assert re.search(used["files"], "reports/resnet.json")
    options = {word for param in _check().params for word in param.opts}
    assert {word for word in used["args"] if word.startswith("--")} <= options


def test_the_options_in_examples_exist():
    known = {word for param in _check().params for word in param.opts}
    lines = [line for step in STEPS for line in commands(step.get("run", ""))]
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        if words[1] == "check":
            assert {word for word in words if word.startswith("--")} <= known


def _check():
    return typer.main.get_command(application("check")).commands["check"]
