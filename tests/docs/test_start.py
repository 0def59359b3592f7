"""docs/start.md: its commands answer as shown, its lines open what was written, its options exist."""

from __future__ import annotations

import re

import typer
from docs.console import faults
from docs.markdown import ROOT, blocks, execute, table

from prunecli.cli.app import application

PAGE = ROOT / "docs" / "start.md"


def test_the_commands_answer_as_shown_and_the_file_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []
    (example,) = blocks(PAGE, "python")
    assert len([line for line in example.text.splitlines() if line]) <= 3
    network = execute(example, "start_python")["network"]
    assert sum(parameter.numel() for parameter in network.parameters()) == 19_810


def test_the_options_that_are_named_exist():
    commands = typer.main.get_command(application()).commands
    known = {word for command in commands.values() for param in command.params for word in param.opts}
    rows = table(PAGE, "Your own checkpoint")
    named = {word for row in rows for cell in row for word in re.findall(r"--[a-z-]+", cell)}
    assert named
    assert named <= known


def test_the_extras_and_files_of_the_installation_exist():
    text = PAGE.read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert all(re.search(rf"^{extra} = ", project, flags=re.MULTILINE) for extra in extras.split(","))
    assert all((ROOT / name).is_file() for name in re.findall(r"--constraint (\S+)", text))
