"""Odd paths, terminals, homes and closed doors: every command does its work all the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pytest
from running_commands import run

from prunecli.checkpoints import sample_models

NAMES = {
    "spaces": "my net.safetensors",
    "bytes that are no UTF-8": "net\udcff\udcfe.safetensors",
    "a leading dash": "-net.safetensors",
    "markup": "[red]net[bold].safetensors",
    "a line end": "net\n.safetensors",
}
COMMANDS = {
    "inspect": ("inspect", "--json"),
    "score": ("score", "--criteria", "l1", "--save", "{out}.safetensors"),
    "compare": ("compare", "--criteria", "l1,l2", "--report", "{out}.html"),
    "prune": (
        *("prune", "--ratio", "0.5", "--no-evaluate"),
        *("-o", "{out}.safetensors", "--plan-out", "{out}.json"),
    ),
    "finetune": ("finetune", "--epochs", "1", "-o", "{out}.safetensors"),
    "export": ("export", "--to", "safetensors", "-o", "{out}.safetensors"),
}
SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "no colour": {"NO_COLOR": "1"},
    "a dumb terminal": {"TERM": "dumb"},
    "forty columns": {"COLUMNS": "40"},
    "no home": {"HOME": None},
    "a home that is none": {"HOME": "/dev/null"},
    "no folder for temporary files": {"TMPDIR": "/none/at/all"},
    "the C locale": {"LC_ALL": "C", "LANG": "C"},
}


# A line that a clock has a part in: seconds, images a second, and a finetuning's rows, which end with them.
TIMED = re.compile(r"second| s\b|/s|^ *\d+ .* [\d,]+$")


def words(command: str, name: str, out: str) -> list[str]:
    """The command line, with the checkpoint last and behind `--`."""
    return [*(word.format(out=out) for word in COMMANDS[command]), "--", name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES.values(), "net.safetensors"):
        shutil.copyfile(sample_models()["resnet8-digits"], tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_is_a_path(command: str, kind: str, folder: Path) -> None:
    name = NAMES[kind]
    out = f"./out {name.removesuffix('.safetensors')}"
    before = {path.name for path in folder.iterdir()}
    ended = run(*words(command, name, out), folder=folder)
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out + ended.err
    made = {path.name for path in folder.iterdir()} - before
    assert made == {Path(word.format(out=out)).name for word in COMMANDS[command] if "{out}" in word}


@lru_cache(maxsize=len(COMMANDS))
def plain(command: str) -> tuple[object, dict[str, bytes]]:
    """What a command prints and writes where nothing is odd."""
    with tempfile.TemporaryDirectory() as place:
        return done(command, Path(place), {})


def done(command: str, place: Path, variables: Mapping[str, str | None]) -> tuple[object, dict[str, bytes]]:
    shutil.copyfile(sample_models()["resnet8-digits"], place / "net.safetensors")
    ended = run(*words(command, "net.safetensors", "out"), folder=place, variables=variables)
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out + ended.err
    assert not re.search(r"\d…|…\d", ended.out)
    printed = [line for line in ended.out.splitlines() if not TIMED.search(line)]
    return printed, {path.name: path.read_bytes() for path in place.glob("out*.safetensors")}


@pytest.mark.parametrize(
    "kind", ["all of them", *(pytest.param(k, marks=pytest.mark.slow) for k in SURROUNDINGS)]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_surroundings_change_no_number(command: str, kind: str, tmp_path: Path) -> None:
    every = {name: value for each in SURROUNDINGS.values() for name, value in each.items()}
    assert done(command, tmp_path, SURROUNDINGS.get(kind, every)) == plain(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_other_machine_is_asked(command: str, folder: Path) -> None:
    ended = run(
        *words(command, "net.safetensors", "out"),
        folder=folder,
        before="faults.systems:forbid_the_network",
    )
    assert ended.code == 0, ended.err


def test_an_interpreter_of_the_c_locale_prints_what_it_cannot_say_escaped(folder: Path) -> None:
    """Begun anew, for an interpreter asks for the locale once."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "prunecli", "inspect", NAMES["bytes that are no UTF-8"]],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
