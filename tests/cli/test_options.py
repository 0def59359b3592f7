"""Options with the same meaning have the same name, text and environment variable everywhere."""

from __future__ import annotations

import typer

from prunecli.cli.app import COMMANDS, application
from prunecli.cli.configuration import NEVER, PATHS, answers_to
from prunecli.cli.option import variable
from prunecli.cli.run import run

TESTED = {"score", "compare", "prune", "sensitivity", "sweep"}
ON_CHECKPOINTS = set(COMMANDS) - {"catalog", "check"}
SHARED = {
    "--format": set(COMMANDS),
    "--json": set(COMMANDS),
    "--quiet": set(COMMANDS),
    "-q": set(COMMANDS),
    "--verbose": set(COMMANDS),
    "-v": set(COMMANDS),
    "--arch": ON_CHECKPOINTS,
    "--input-shape": ON_CHECKPOINTS,
    "--device": ON_CHECKPOINTS,
    "--trust-pickle": ON_CHECKPOINTS,
    "--criterion": {"score", "compare", "prune", "sensitivity", "sweep"},
    "--criteria": {"score", "compare", "prune", "sensitivity", "sweep"},
    "--scope": {"score", "prune", "sweep"},
    "--ratio": {"compare", "prune", "sensitivity", "sweep"},
    "--data": {*TESTED, "evaluate", "export", "finetune"},
    "--batches": TESTED,
    "--scores": {"compare", "prune"},
    "--plot": {*TESTED, "bench", "finetune"},
    "--report": {*TESTED, "bench", "finetune", "inspect"},
    "--card": {"prune", "finetune"},
    "--seed": {*TESTED, "evaluate", "finetune"},
    "--output": {"inspect", "prune", "finetune", "export", "sweep"},
    "-o": {"inspect", "prune", "finetune", "export", "sweep"},
    "--force": {*TESTED, "bench", "export", "finetune", "check", "inspect"},
    "--max-drop": {"prune", "sweep", "check"},
    "--strategy": {"prune", "sweep"},
}


def parameters():
    group = typer.main.get_command(application())
    return [(name, param) for name, command in group.commands.items() for param in command.params]


def test_each_shared_option_is_where_it_belongs():
    for spelling, commands in SHARED.items():
        assert {name for name, param in parameters() if spelling in param.opts} == commands, spelling


def test_one_spelling_has_one_environment_variable_and_one_section():
    meanings = {}
    for _, param in parameters():
        for spelling in param.opts:
            known = meanings.setdefault(spelling, (param.envvar, getattr(param, "rich_help_panel", None)))
            assert (param.envvar, getattr(param, "rich_help_panel", None)) == known, spelling


def test_every_option_has_help_and_is_made_by_our_own_hand():
    for name, param in parameters():
        assert param.help, (name, param.name)
        # What belongs to one file or one run has no place in the environment.
        assert param.envvar or param.name in {"trust_pickle", "kind", "resume", "reports"}, (name, param.name)


def test_commands_that_are_only_listed_are_shown_alike():
    shown = []
    for listed in (False, True):
        group = typer.main.get_command(application(listed=listed))
        with group.make_context("prunecli", [], resilient_parsing=True) as context:
            shown.append(group.get_help(context))
    assert shown[0] == shown[1]
    assert "Remove channels, prove the smaller network right, and write it." in shown[1]


def test_a_command_that_does_not_come_first_has_its_options(capsys):
    assert run(["--", "catalog", "criteria", "--json"]) == 0
    assert '"criteria"' in capsys.readouterr().out


def test_examples_of_the_help_are_parsed():
    import importlib
    import shlex

    group = typer.main.get_command(application())
    for name in COMMANDS:
        examples = importlib.import_module(f"prunecli.cli.commands.{name}").EXAMPLES.strip().splitlines()
        assert examples
        for example in examples:
            words = shlex.split(example.partition(" | ")[0])
            if words[0] == "torchrun":
                words = ["prunecli", *words[words.index("prunecli") + 1 :]]
            assert words[:2] == ["prunecli", name]
            known = {spelling for param in group.commands[name].params for spelling in param.opts}
            assert {word for word in words if word.startswith("-") and word != "-"} <= known, example


def test_every_option_that_is_a_habit_can_be_configured_and_set_in_the_environment():
    for name, param in parameters():
        long = next((spelling for spelling in param.opts if spelling.startswith("--")), param.name)
        if param.name in NEVER or name == "catalog":
            continue
        assert answers_to(param, long), (name, long)
        if param.envvar:
            assert param.envvar == variable(long), (name, long)


def test_every_file_of_a_configuration_is_seen_from_its_folder():
    files = {
        param.name for _, param in parameters() if str(param.metavar).startswith(("FILE", "FOLDER", "DIR"))
    }
    assert files - set(PATHS) - set(NEVER) == set()
