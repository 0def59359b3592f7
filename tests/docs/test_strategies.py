"""docs/strategies.md: its run goes as shown, its ratios and defaults are those of the code."""

from __future__ import annotations

import re

import typer
from docs.console import execute as run_command
from docs.console import faults
from docs.markdown import ROOT, blocks, load_script, table

from prunecli.checkpoints import read_checkpoint
from prunecli.cli.app import application
from prunecli.strategies.bites import LATER_SHARE, BiteWishes, bites_of
from prunecli.strategies.contract import STRATEGIES
from prunecli.strategies.parts import HARDNESSES, REMOVED, TRIGGERS, Parts
from prunecli.strategies.procedures import judging, racing, rehearsal
from prunecli.strategies.schedules import SCHEDULES
from prunecli.workflows.prune_tuning import DROPS, GRID, TuningRequest

PAGE = ROOT / "docs" / "strategies.md"
IN_BITES = [
    name for name, schedule in SCHEDULES.items() if schedule.shares and name not in {"one-shot", "blocks"}
]


def bitten(schedule, ratio, **wishes):
    return bites_of(Parts(schedule=schedule, hardness=REMOVED), ratio, BiteWishes(**wishes), epochs=20)


def tables(heading):
    """The rows of every table under a heading, without the headers."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in row.split("|")[1:-1]] for row in each.splitlines()[2:]] for each in found
    ]


def test_the_commands_answer_as_shown(folder):
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []
    assert "plan" in read_checkpoint("bites.safetensors").document


def test_the_tables_are_those_that_are_written():
    written = load_script("write_strategies")
    assert PAGE.read_text(encoding="utf-8") == written.page(PAGE.read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == written.readme(readme)


def test_every_part_is_named():
    rows = {row[0]: row[3] for row in tables("Parts")[0]}
    assert re.findall(r"`([\w-]+)`", rows["schedule"]) == list(SCHEDULES)
    assert re.findall(r"`([\w-]+)`", rows["hardness"]) == list(HARDNESSES)
    assert set(re.findall(r"`(\w+)", rows["trigger"])) == set(TRIGGERS)


def test_every_schedule_and_hardness_has_its_formula():
    formulas, _ = tables("Sizes")
    assert [row[0].strip("`") for row in formulas] == IN_BITES
    hardnesses, curves = tables("Along one training")
    assert [row[0].strip("`") for row in hardnesses] == [name for name in HARDNESSES if name != REMOVED]
    assert {row[0].strip("`") for row in curves} == {
        "one-shot",
        *(n for n, s in SCHEDULES.items() if s.curve),
    }


def test_the_ratios_are_those_of_the_code():
    _, rows = tables("Sizes")
    assert {row[0].strip("`") for row in rows} == set(IN_BITES) - {"manual"}
    for name, ratio, *gone in rows:
        bites = bitten(name.strip("`"), float(ratio))
        assert [f"{bite.ratio:.3f}" for bite in bites[:5]] == gone, (name, ratio)


def test_the_numbers_are_those_of_the_code():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    counts = [len(bitten("hybrid", ratio)) for ratio in (0.7, 0.9)]
    assert f"`hybrid` takes {counts[0]} bites to 0.7 and {counts[1]} to 0.9" in text
    assert LATER_SHARE == 1 / 20
    assert f"would end at {1 - (1 - 0.7 / 5) ** 5:.3f}" in text
    epochs = {STRATEGIES[name].epochs for name in ("iterative", "geometric", "log", "hybrid", "manual")}
    assert f"`--epochs` ({epochs.pop()}) are those of all bites" in text
    assert not epochs


def test_the_options_have_the_defaults_that_are_listed():
    parameters = typer.main.get_command(application()).commands["prune"].params
    defaults = {each.opts[0]: each.default for each in parameters}
    for option, default, _ in table(PAGE, "Epochs"):
        shown = defaults[option.strip("`")]
        assert default == ("-" if not shown and shown != 0 else f"{shown:g}"), option


def test_the_borders_of_limits_hold_for_hybrid():
    limits = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    (count,) = re.findall(r"hybrid at 0\.9 has (\d+)", limits)
    bites = bitten("hybrid", 0.9)
    assert len(bites) == int(count)
    assert sum(bite.epochs for bite in bites) > 20


def test_a_dry_run_trains_nothing(folder):
    ran = run_command("prunecli prune model.safetensors --ratio 0.7 --strategy hybrid --dry-run")
    assert ran.exit_codes == (0,)
    assert "epoch 1/" not in ran.notes


def test_what_tuning_searches_is_that_of_the_code():
    rows = {row[0]: row[1] for row in tables("Block by block: ice")[0]}
    searched = {"drop": DROPS, **GRID}
    names = ("drop", "freeze share", "base of the rate", "midpoint", "steepness", "fall")
    assert list(rows) == list(names)
    for (name, told), values in zip(rows.items(), searched.values(), strict=True):
        assert told == ", ".join(f"{value:g}" for value in values), name


def test_the_numbers_of_rehearsals_races_and_looks_are_those_of_the_code():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    asked = TuningRequest()
    assert f"`--tune-share` {asked.share:g}" in text
    assert f"`--trials` {asked.trials} points" in text
    assert f"`--tune-weight` {asked.weight:g}" in text
    assert f"({rehearsal.TRAINING_IMAGES} and {rehearsal.VALIDATION_IMAGES} at least" in text
    assert f"at most {rehearsal.STOPS} places" in text
    assert judging.LOOKS == 8
    assert "every eight blocks" in text
    assert f"into {racing.STRATA} strata" in text
    assert f"when D > {racing.MARGIN:g} e" in text
    assert f"after {racing.FIRST_LOOK} images and whenever {racing.GROWTH:g} times" in text
    assert f"on none of {racing.SAME_FROM} images" in text
