"""The README is true: its commands print what it shows, its tables are the registries, its code runs."""

from __future__ import annotations

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from docs.console import execute as run_command
from docs.console import faults
from docs.markdown import ROOT, blocks, execute, table

from prunecli.cli.app import COMMANDS
from prunecli.criteria.contract import CRITERIA, Evidence

README = ROOT / "README.md"
ELSEWHERE = ROOT.parent / "shared" / "data" / "resnet20-12fca82f.th"
OUTSIDE = ("resnet20.th",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("CHECKPOINT", "DATA", "FORMAT", "JSON", "QUIET"):
        monkeypatch.delenv(f"PRUNECLI_{name}", raising=False)
    return tmp_path


def test_the_commands_print_what_is_shown_and_the_python_runs(folder):
    if ELSEWHERE.is_file():
        shutil.copy(ELSEWHERE, folder / "resnet20.th")
    missing = () if ELSEWHERE.is_file() else OUTSIDE
    found = [fault for block in blocks(README, "console") for fault in faults(block.text, absent=missing)]
    assert found == []
    (opening,) = [block for block in blocks(README, "python") if block.heading == "One minute"]
    network = execute(opening, "readme_opening")["network"]
    assert sum(parameter.numel() for parameter in network.parameters()) == 19_810
    (example,) = [block for block in blocks(README, "python") if block.heading == "Python"]
    with redirect_stdout(io.StringIO()) as said:
        names = execute(example, "readme_python")
    reduction, equivalent = said.getvalue().split()
    assert 0.3 < float(reduction) < 0.6
    assert equivalent == "True"
    assert not names["network"].training
    assert names["tuned"].after.accuracy > 90
    assert names["tuned"].settings["schedule"] == "one-cycle"


@pytest.mark.parametrize(("heading", "kind"), [("Criteria", "criteria"), ("Strategies", "strategies")])
def test_the_tables_are_the_catalog(heading, kind):
    ran = run_command(f"prunecli catalog {kind} --json")
    listed = {entry["name"]: (entry["caption"], entry["source"]) for entry in json.loads(ran.output)[kind]}
    written = {name.strip("`"): (caption, source) for name, caption, source in table(README, heading)}
    assert written == listed


def test_the_commands_are_those_of_the_application():
    cells = [row[0] for row in table(README, "Commands")]
    assert cells == [f"[`{name}`](docs/commands/{name}.md)" for name in COMMANDS]


def test_the_exit_codes_are_those_of_the_errors():
    from prunecli import errors

    classes = (errors.GateNotMet, errors.WrongUse, errors.InputRefused, errors.WorkFailed)
    first = [row[0] for row in table(README, "Exit codes")]
    assert first == ["0", *(str(each.exit_code) for each in classes), f"{errors.Interrupted.exit_code}, 143"]


@pytest.mark.usefixtures("registries")
def test_the_added_criterion_scores_the_sample(folder):
    (example,) = [block for block in blocks(README, "python") if block.heading == "Add a criterion"]
    code = [line for line in example.text.splitlines() if line.strip()]
    assert len(code) <= 15
    execute(example, "readme_criterion")
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    scores = CRITERIA["rms"].function(Evidence("conv", weight, (2, 2, 1, 1)))
    torch.testing.assert_close(scores, torch.tensor([12.5**0.5, 2.0**0.5]))
    ran = run_command("prunecli score --criteria rms,l2 --json")
    document = json.loads(ran.output)
    first = document["layers"][0]["scores"]
    ratios = [a / b for a, b in zip(first["rms"], first["l2"], strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-5)


@pytest.fixture
def registries():
    from docs.registries import kept

    with kept():
        yield


def test_the_make_targets_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "lint", "types", "docs"):
        assert f"\n{target}:" in makefile


def test_every_extra_for_users_is_named():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = ", section, flags=re.MULTILINE)) - {"test", "docs", "fuzz"}
    install = README.read_text(encoding="utf-8").partition("## Install\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"\.\[(\w+)\]", install)) == extras


def test_the_sample_that_is_shown_is_the_default_one():
    from prunecli.checkpoints import default_sample

    assert default_sample().name in README.read_text(encoding="utf-8")
    assert Path(default_sample()).is_file()
