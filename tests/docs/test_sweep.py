"""docs/sweep.md: its run goes as shown, its tables are those of the code."""

from __future__ import annotations

import json
import re

import typer
from docs.console import faults
from docs.markdown import ROOT, blocks, table

from prunecli.cli.app import application
from prunecli.search.samplers import SAMPLERS
from prunecli.search.stopping import FACTOR, LAYERS, SETTLED, is_rung
from prunecli.search.study import LOST_AFTER
from prunecli.workflows.sweep_request import EPOCHS, STORAGE, TRIALS, SweepSpace

PAGE = ROOT / "docs" / "sweep.md"
TEXT = " ".join(PAGE.read_text(encoding="utf-8").split())


def tables(heading):
    """The rows of every table under a heading, without the headers."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in row.split("|")[1:-1]] for row in each.splitlines()[2:]] for each in found
    ]


def test_the_commands_answer_as_shown(folder):
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []
    assert (folder / "front.png").stat().st_size > 0


def test_the_options_have_the_values_that_are_listed():
    parameters = typer.main.get_command(application()).commands["sweep"].params
    defaults = {spelling: each.default for each in parameters for spelling in each.opts}
    space = SweepSpace()
    unsaid = {
        "--ratio": ",".join(map(str, space.ratios)),
        "--criteria": ",".join(space.criteria),
        "--strategies": ",".join(space.strategies),
        "--scopes": ",".join(space.scopes),
    }
    options, _ = tables("What is tried")
    for option, said, _ in options:
        name = option.strip("`")
        default = unsaid.get(name, defaults[name])
        assert said == ("-" if default is None else str(default)), option


def test_the_samplers_are_those_there_are():
    _, samplers = tables("What is tried")
    assert {row[0].strip("`"): row[1] for row in samplers} == dict(SAMPLERS)
    assert f"another sampler makes {TRIALS}" in TEXT
    assert EPOCHS == 10


def test_the_layers_are_those_there_are():
    assert [row[0].strip("`") for row in table(PAGE, "Stopping early")] == list(LAYERS)
    assert "the best ⌊n / 3⌋ go on" in TEXT
    assert FACTOR == 3
    assert [step for step in range(1, 10) if is_rung(step)] == [1, 3, 9]
    assert f"when s > {SETTLED} and" in TEXT


def test_the_storages_and_the_minutes_are_those_of_the_code():
    assert tables("Many processes and machines")[0][0][0].strip("`") == STORAGE
    assert f"after `--lost-after` minutes ({LOST_AFTER / 60:.0f})" in TEXT


def test_the_keys_of_the_document_are_listed(folder):
    from docs.console import execute

    line = "prunecli sweep model.safetensors --ratio 0.5 --epochs 1 --seeds 1 --storage memory --json"
    document = json.loads(execute(line).output)
    rows = dict(table(PAGE, "The document"))
    for keys, values in (
        (rows.pop("`trials`"), document["trials"][0]),
        (rows.pop("`saved`"), document["saved"]),
    ):
        named = re.findall(r"`(\w+)`", keys)
        assert set(named) >= set(values)
    listed = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)} | {"trials", "saved"}
    assert listed == set(document) - {"schema", "version"}
