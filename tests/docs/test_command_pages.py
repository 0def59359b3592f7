"""docs/commands/: every command has a page, and it is what the command line and a run of it say."""

from __future__ import annotations

import pytest
from docs.markdown import ROOT, load_script

from prunecli.cli.app import COMMANDS

PAGES = ROOT / "docs" / "commands"
# More than about three seconds each.
LONG = ("bench", "export")


@pytest.fixture(scope="module")
def writer():
    return load_script("write_commands")


def test_every_command_has_a_page_and_a_run(writer):
    assert {path.stem for path in PAGES.glob("*.md")} == set(COMMANDS)
    assert set(writer.RUNS) == set(COMMANDS)
    assert set(writer.GATES) <= set(COMMANDS)


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each in LONG else each for each in COMMANDS]
)
def test_the_page_is_up_to_date(writer, name, folder):
    new = writer.settled(writer.page(name, writer.record(name, folder)))
    written = writer.settled((PAGES / f"{name}.md").read_text(encoding="utf-8"))
    assert written == new, f"run: python docs/write_commands.py {name}"


@pytest.mark.parametrize("name", LONG)
def test_the_options_of_a_long_run_are_up_to_date(writer, name):
    """What `test_the_page_is_up_to_date` says of the others too, without the run."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    new = writer.page(name, writer.Recorded("", (), {"schema": ""}))
    for heading in ("Options", "Examples", "Exit codes"):
        first, second = (each.partition(f"## {heading}")[2].partition("\n## ")[0] for each in (text, new))
        assert first == second


def test_a_page_changes_with_the_option_and_not_with_the_clock(writer):
    written = (
        "# a\nseconds  trace 1.52, score 0.01\nimages per second  19,835\n| `--ratio R` | Fraction. |  |\n"
    )
    same = writer.settled(written)
    assert writer.settled(written.replace("1.52", "0.07").replace("19,835", "4,000")) == same
    assert writer.settled(written.replace("Fraction", "Share")) != same
    assert writer.settled(written.replace("seconds", "minutes")) != same
