"""Outputs that cannot be, by the real command line: said before any work, and everything stays as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from running_commands import run

from prunecli.checkpoints import sample_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a checkpoint, also by a link and by a hard link."""
    shutil.copyfile(sample_models()["resnet8-digits"], tmp_path / "net.safetensors")
    (tmp_path / "link.safetensors").symlink_to("net.safetensors")
    os.link(tmp_path / "net.safetensors", tmp_path / "same.safetensors")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


PRUNE = ("prune", "net.safetensors", "--ratio", "0.5", "--no-evaluate")
WRONG = {
    "the input": (*PRUNE, "-o", "net.safetensors", "--force"),
    "the input by a link": (*PRUNE, "-o", "link.safetensors", "--force"),
    "the input by a hard link": (*PRUNE, "-o", "same.safetensors", "--force"),
    "the link as input": ("prune", "link.safetensors", "--ratio", "0.5", "-o", "net.safetensors", "--force"),
    "the teacher": ("finetune", "--teacher", "net.safetensors", "-o", "same.safetensors", "--force"),
    "the plan": (*PRUNE[:2], "--plan", "same.safetensors", "-o", "same.safetensors", "--force"),
    "report is output": (*PRUNE, "-o", "x.json", "--report", "x.json"),
    "report is output by another spelling": (*PRUNE, "-o", "x.json", "--report", "../{name}/x.json"),
    "plan is output": (*PRUNE, "-o", "x.safetensors", "--plan-out", "x.safetensors"),
    "plot is scores": ("score", "--save", "x.svg", "--plot", "x.svg"),
    "log is output": ("finetune", "-o", "x.jsonl", "--log", "jsonl:x.jsonl"),
    "journal is output": ("sweep", "--storage", "x.journal", "-o", "x.journal"),
    "report is saved figures": ("sensitivity", "--save", "x.json", "--report", "x.json"),
    "plan to standard output": (*PRUNE, "--plan-out", "-"),
    "report to standard output": (*PRUNE, "--report", "-"),
    "scores to standard output": ("score", "--save", "-"),
    "a missing folder": (*PRUNE, "-o", "none/x.safetensors"),
    "a folder": (*PRUNE, "-o", "."),
    "a file below a file": (*PRUNE, "-o", "net.safetensors/x"),
    "the folder of the input": ("export", "net.safetensors", "--to", "transformers", "-o", ".", "--force"),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_an_output_that_cannot_be_is_wrong_use(arguments: tuple[str, ...], folder: Path) -> None:
    before = contents(folder)
    ended = run(*(word.format(name=folder.name) for word in arguments), folder=folder)
    lines = ended.err.splitlines()
    assert ended.code == 2, ended.err
    assert ended.out == ""
    [first] = [line for line in lines if line.startswith("error: ")]
    assert len(lines) - lines.index(first) <= 4
    assert contents(folder) == before


def test_a_folder_that_may_not_be_written_to_is_said_before_any_work(folder: Path) -> None:
    """For root every folder may be written to, so the question is asked of a system that says no."""
    ended = run(
        *(*PRUNE, "-o", "x.safetensors"), folder=folder, before="faults.systems:forbid_writing_to_folders"
    )
    assert ended.code == 4
    assert "cannot be written to" in ended.err
    assert not (folder / "x.safetensors").exists()


def test_a_folder_that_vanishes_while_the_work_goes_on(folder: Path) -> None:
    (folder / "gone").mkdir()
    ended = run(*(*PRUNE, "-o", "gone/x.safetensors"), folder=folder, files=("RemovesItsFolder", ()))
    assert ended.code == 4
    [first, *hints] = ended.err.splitlines()[-2:]
    assert first == "error: gone/x.safetensors could not be written: No such file or directory"
    assert hints
    assert not (folder / "gone").exists()
