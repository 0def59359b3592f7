"""Help as plain text: the same on a terminal, in a pipe and in a CI log, with no escape sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prunecli.cli.option import DATA, GATES, MEASURING, MODEL, PRUNING, RESULT, TRAINING

if TYPE_CHECKING:
    from typer._click.core import Command, Context, Parameter
    from typer._click.formatting import HelpFormatter

_ARGUMENTS, _OTHERS = "Arguments", "Options"
_ORDER = (_ARGUMENTS, MEASURING, PRUNING, TRAINING, DATA, GATES, MODEL, RESULT, _OTHERS)


def write_sections(params: Sequence[Parameter], ctx: Context, formatter: HelpFormatter) -> None:
    """Write one titled list for each section that has an option."""
    for title, records in sections(params, ctx).items():
        with formatter.section(title):
            formatter.write_dl(records)


def sections(params: Sequence[Parameter], ctx: Context) -> dict[str, list[tuple[str, str]]]:
    """{title: [(spelling, meaning)]} in the order of the help, without sections that have no option."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in _ORDER}
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None:
            argument = param.param_type_name == "argument"
            title = _ARGUMENTS if argument else getattr(param, "rich_help_panel", None) or _OTHERS
            if argument:
                record = (param.metavar or param.name, record[1])
            found.setdefault(title, []).append(record)
    return {title: records for title, records in found.items() if records}


def write_commands(commands: Mapping[str, Command], formatter: HelpFormatter) -> None:
    """Write each command with the whole first line of its help."""
    with formatter.section("Commands"):
        formatter.write_dl(
            [(name, (command.help or "").partition("\n")[0]) for name, command in commands.items()]
        )


def write_examples(epilog: str | None, formatter: HelpFormatter) -> None:
    """Write the epilog's lines as they are, under a title: a command must not be folded."""
    if not epilog:
        return
    with formatter.section("Examples"):
        for line in epilog.strip().splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
