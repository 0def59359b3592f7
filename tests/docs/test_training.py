"""docs/training.md: its commands answer as shown, its tables are those of the code, its Python runs."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import typer
from docs.console import execute as run_command
from docs.console import faults
from docs.markdown import ROOT, blocks, execute, table

from prunecli.cli.app import application
from prunecli.cli.option import TRAINING

PAGE = ROOT / "docs" / "training.md"


def options(command):
    """The training options of a command, with their defaults."""
    parameters = typer.main.get_command(application()).commands[command].params
    chosen = [each for each in parameters if getattr(each, "rich_help_panel", None) == TRAINING]
    return {each.opts[0]: each.default for each in chosen}


def test_the_commands_answer_as_shown_and_the_python_runs(folder):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []
    events = [json.loads(line)["event"] for line in (folder / "run.jsonl").read_text().splitlines()]
    assert events[0] == "start"
    assert events[-1] == "finish"
    assert events.count("epoch") == 2
    assert not (folder / "long.safetensors.run").exists()
    (example,) = blocks(PAGE, "python")
    result = execute(example, "training_python")["result"]
    assert result.settings["schedule"] == "one-cycle"
    assert result.teacher is not None
    assert result.after.accuracy > result.before.accuracy


def test_every_training_option_is_listed_with_its_default():
    written = {option.strip("`"): default for option, default, _, _ in table(PAGE, "Options of the training")}
    shown = {name: "-" if value is None else f"{value}" for name, value in options("finetune").items()}
    assert {name: value.removesuffix(".0") for name, value in shown.items()} == written


def test_what_prune_takes_too_is_said():
    too = {row[0].strip("`") for row in table(PAGE, "Options of the training") if row[3] == "yes"}
    assert too == set(options("prune"))


def test_the_schedules_are_those_of_the_code():
    from prunecli.training.schedule import SCHEDULES

    found = {
        f"`{name}`": [f"{factor(step, 1000):.2f}" for step in (0, 250, 500, 750)]
        for name, factor in SCHEDULES.items()
    }
    assert {row[0]: row[1:5] for row in table(PAGE, "Schedules")} == found


def test_the_data_sources_are_the_catalog():
    listed = json.loads(run_command("prunecli catalog data --json").output)["data"]
    written = [(name.strip("`"), caption) for name, caption, _ in table(PAGE, "Data")]
    assert written == [(entry["name"], entry["caption"]) for entry in listed]


def test_the_recipes_are_those_of_the_code():
    from prunecli.training.augmentation import RECIPES, Recipe

    words = {"yes": True, "no": False}
    written = {
        name.strip("`"): Recipe(
            shift=0.0 if shift == "-" else float(Fraction(shift)), mirror=words[mirror], crop=words[crop]
        )
        for name, shift, mirror, crop in table(PAGE, "Augmentation")
    }
    assert {name: recipe for name, recipe in RECIPES.items() if not recipe.randaugment} == written
    assert {f"{name}+randaugment" for name in written} == set(RECIPES) - set(written)


def test_the_logs_are_those_of_the_code():
    from prunecli.training.logs import KINDS

    written = {kind.strip("`") for row in table(PAGE, "Logs, pictures and reports") for kind in row[:1]}
    assert written == {"FILE.jsonl` or `jsonl:FILE", *(KINDS[kind] for kind in KINDS if kind != "jsonl")}


def test_the_extras_that_are_named_exist():
    import importlib
    import re
    import sys

    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"prunecli\[(\w+)\]", PAGE.read_text(encoding="utf-8")))
    assert named <= set(project["optional-dependencies"])


def test_the_numbers_are_those_of_the_code():
    from prunecli.data.assembling import MAX_BAD_SHARE
    from prunecli.data.shapes import MAX_DECODED_BYTES
    from prunecli.training import fitting
    from prunecli.training.recalibration import RECALIBRATION_BATCHES

    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"the network runs on {RECALIBRATION_BATCHES} batches" in text
    assert f"more than {MAX_DECODED_BYTES / 2**30:g} GiB stays on disk" in text
    assert f"up to {100 * MAX_BAD_SHARE:g} % of a part" in text
    assert f"looked at every {fitting._STEPS_BETWEEN_LOOKS} steps" in text
