"""The environments that the suite runs in: table, bounds, the script that visits them, workflow, wheel."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
OLDEST = ".ci/constraints-oldest.txt"


def script(name):
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


matrix = script("matrix")
distribution = script("distribution")


def pins(file, python):
    """What a file of constraints pins for a version of Python, by normalised name."""
    found = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate(
            {"python_version": python, "python_full_version": f"{python}.0"}
        ):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found[canonicalize_name(requirement.name)] = Version(pin.version)
    return found


def direct(python):
    """The dependencies of the package and of its test extra, extras of its own unfolded."""
    extras = PROJECT["optional-dependencies"]
    waiting = [*PROJECT["dependencies"], *extras["test"]]
    for text in waiting:
        requirement = Requirement(text)
        if requirement.name == "prunecli":
            waiting.extend(line for extra in sorted(requirement.extras) for line in extras[extra])
        elif requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            yield requirement


def test_the_table_has_every_python_that_is_named():
    newest = [e.python for e in matrix.environments() if e.constraints == ".ci/constraints.txt"]
    assert newest == ["3.10", "3.11", "3.12", "3.13"]
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in newest)
    assert [e.python for e in matrix.environments() if e.constraints == OLDEST] == ["3.10"]
    names = [e.name for e in matrix.environments()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("environment", matrix.environments(), ids=lambda e: e.name)
def test_what_bounds_an_environment_fits_the_project(environment):
    pinned = pins(environment.constraints, environment.python)
    wrong = {
        requirement.name: str(pinned[name])
        for requirement in direct(environment.python)
        if (name := canonicalize_name(requirement.name)) in pinned
        and pinned[name] not in requirement.specifier
    }
    assert wrong == {}


def test_the_oldest_are_the_lower_bounds():
    pinned = pins(OLDEST, "3.10")
    bounds = {
        canonicalize_name(requirement.name): Version(part.version)
        for requirement in direct("3.10")
        for part in requirement.specifier
        if part.operator == ">="
    }
    # A release without a build for Python 3.10 or without a file at all would make one of these higher.
    assert {name: str(pinned.get(name)) for name, bound in bounds.items() if pinned.get(name) != bound} == {}
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]


def test_an_unknown_environment_is_named_with_those_that_there_are():
    with pytest.raises(SystemExit, match=r"no environment py27; there are py310, py311, "):
        matrix.chosen(["py311", "py27"])
    assert [e.name for e in matrix.chosen(["py312"])] == ["py312"]


def test_an_interpreter_is_taken_by_what_it_answers(tmp_path, monkeypatch):
    (tmp_path / "python9.7").write_text("#!/bin/sh\necho 9.7\n")
    (tmp_path / "python9.8").write_text("#!/bin/sh\necho 'no such version' >&2; exit 127\n")
    (tmp_path / "python9.9").write_text("#!/bin/sh\necho 9.8\n")
    for shim in tmp_path.iterdir():
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert matrix.find_interpreter("9.7") == tmp_path / "python9.7"
    for version in ("9.8", "9.9", "9.10"):
        with pytest.raises(matrix.NotHere, match=f"no python{version} "):
            matrix.find_interpreter(version)


def test_cuda_is_known_by_what_a_torch_requires():
    needs = [
        "filelock",
        'cuda-toolkit[cudart]==13.0.3; platform_system == "Linux"',
        "nvidia-cudnn-cu13==9.20.0.48",
        "triton==3.7.1",
        'triton; extra == "inductor"',
        "tritonclient",
    ]
    assert matrix.cuda_needs(needs) == needs[1:4]


@pytest.fixture
def visited(monkeypatch, tmp_path):
    """Visits an environment of which `install` stands for what pip does."""

    def visit(install):
        monkeypatch.setattr(matrix, "FOLDER", tmp_path)
        monkeypatch.setattr(matrix.Pip, "install", lambda self, *words: install(*words))
        monkeypatch.setattr(matrix.subprocess, "run", lambda *words, **options: None)
        monkeypatch.setattr(matrix, "find_interpreter", lambda version: Path(sys.executable))
        monkeypatch.delenv("MATRIX_CUDA", raising=False)
        environment = matrix.Environment("e", "3.11", OLDEST)
        return matrix.visit(environment, arguments=[], jobs="1", keep=False)

    return visit


def test_a_torch_that_brings_cuda_is_not_installed(visited):
    installs = []
    report = {
        "install": [{"metadata": {"name": "torch", "version": "9.0", "requires_dist": ["nvidia-cudnn"]}}]
    }

    def install(*words):
        installs.append(words)
        return json.dumps(report)

    outcome = visited(install)
    assert outcome.note == "not here: torch 9.0 brings CUDA (1 packages)"
    assert (outcome.here, outcome.good) == (False, False)
    assert not any("--editable" in words for words in installs)


@pytest.mark.parametrize("refused", ["--dry-run", "torch", "--editable"])
def test_only_a_torch_that_cannot_be_had_is_not_here(visited, refused):
    def install(*words):
        if words[0] == refused:
            raise matrix.Unfit("ERROR: no")
        return '{"install": []}'

    outcome = visited(install)
    assert not outcome.good
    assert outcome.here == (refused != "--dry-run")
    assert outcome.note == ("not installed: ERROR: no" if outcome.here else "not here: ERROR: no")


def test_the_figures_are_those_of_the_junit_file(tmp_path):
    file = tmp_path / "e.xml"
    file.write_text('<testsuites><testsuite tests="9" failures="1" errors="2" skipped="1"/></testsuites>')
    assert matrix.count(file) == (5, 3, 1)


def test_a_row_stands_under_its_heads():
    outcomes = [
        matrix.Outcome("py312", "3.12.1", "2.13.0+cpu", "2.4.6", 4321, 0, 7, 301.6),
        matrix.Outcome("py313", "3.13", note="not here: no python3.13 on the PATH or in pyenv"),
    ]
    assert matrix.lines(outcomes) == [
        "environment  python  torch       numpy  passed  failed  skipped  seconds",
        "py312        3.12.1  2.13.0+cpu  2.4.6  4321    0       7        302",
        "py313        3.13" + " " * 57 + "not here: no python3.13 on the PATH or in pyenv",
    ]
    assert [(outcome.here, outcome.good) for outcome in outcomes] == [(True, True), (False, False)]


def test_the_tests_of_an_environment_run_and_count(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "FOLDER", tmp_path)
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    interpreter = tmp_path / "e" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    tests = "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): __import__('pytest').skip()\n"
    (tmp_path / "test_three.py").write_text(tests)
    environment = matrix.Environment("e", "3.11", OLDEST)
    outcome = matrix.visit(environment, arguments=["test_three.py"], jobs="0", keep=True)
    assert (outcome.passed, outcome.failed, outcome.skipped, outcome.good) == (1, 1, 1, False)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", outcome.torch)
    none = matrix.visit(environment, arguments=["nothing.py"], jobs="0", keep=True)
    assert (none.good, none.note) == (False, "pytest ended with 4: see e.log")


def steps():
    """Every step of every workflow, with the name of its file."""
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            yield from ((path.name, step) for step in job["steps"])


def test_the_workflow_takes_its_environments_from_the_table():
    (read,) = [step for step in CI["jobs"]["table"]["steps"] if step.get("id") == "read"]
    assert "jq --compact-output . .ci/environments.json" in read["run"]
    job = CI["jobs"]["tests"]
    assert job["strategy"]["matrix"] == {"environment": "${{ fromJSON(needs.table.outputs.environments) }}"}
    named = set(re.findall(r"matrix\.environment\.(\w+)", json.dumps(job)))
    assert named == {"name", "python", "constraints"}
    assert all(named == row.keys() for row in json.loads(matrix.TABLE.read_text(encoding="utf-8")))


def test_a_workflow_may_only_read_and_holds_no_secret():
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        assert content["permissions"] == {"contents": "read"}
        assert not any("permissions" in job for job in content["jobs"].values())
        assert "secrets." not in text
        assert "pull_request_target" not in text
        assert all("timeout-minutes" in job for name, job in content["jobs"].items() if name != "table")


def test_actions_are_pinned_and_leave_no_credentials():
    used = [(file, step) for file, step in steps() if "uses" in step]
    assert used
    for _, step in used:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_text_of_a_workflow_does_not_become_part_of_a_script():
    assert [step["run"] for _, step in steps() if "${{" in step.get("run", "")] == []


def test_what_the_workflow_makes_are_targets_and_files():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = [step["run"] for _, step in steps() if "run" in step]
    targets = {
        word for text in scripts for words in re.findall(r"^make ([a-z -]+)", text) for word in words.split()
    }
    targets |= {
        target
        for job in CI["jobs"].values()
        for target in job.get("strategy", {}).get("matrix", {}).get("target", [])
    }
    assert {"lint", "types", "test-matrix", "test-slow", "fuzz", "docs", "distribution"} == targets
    assert [target for target in sorted(targets) if f"\n{target}:" not in makefile] == []
    assert all((ROOT / text).is_file() for text in scripts if text.startswith(".ci/"))


def test_scheduled_jobs_are_for_the_schedule():
    assert {name for name, job in CI["jobs"].items() if "schedule" in str(job.get("if"))} == {
        "audit",
        "weekly",
    }
    assert [entry["cron"].split()[-1] for entry in CI[True]["schedule"]] == ["1"]


def test_a_wheel_with_a_foreign_file_or_without_its_data_is_noticed():
    names = ["prunecli/py.typed", "prunecli/a.pyc", "tests/x.py", "prunecli-0.1.0.dist-info/METADATA"]
    assert distribution.unwanted(names) == ["prunecli/a.pyc", "tests/x.py"]
    assert "prunecli/architectures/index.json.gz" in distribution.missing(names, distribution.IN_WHEEL)
    assert "prunecli/py.typed" not in distribution.missing(names, distribution.IN_WHEEL)


def test_what_the_wheel_must_hold_is_in_the_checkout():
    places = [name.replace("prunecli/sample_models/", "sample_models/") for name in distribution.IN_WHEEL]
    assert [name for name in (*places, *distribution.IN_SDIST) if not (ROOT / name).is_file()] == []


def test_help_answers_of_the_scripts():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "matrix.py", "--help"], capture_output=True, text=True, check=True
    )
    assert "--keep" in done.stdout
