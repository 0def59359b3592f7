"""How one option is made: its spellings, its environment variable, and a refusal that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.models import ArgumentInfo, OptionInfo

from prunecli.cli.values import Unfit
from prunecli.errors import WrongUse

T = TypeVar("T")

# The sections of a command's help, in the order in which they stand there.
MODEL, PRUNING, TRAINING, DATA, RESULT = "Model", "Pruning", "Training", "Data", "Output"
MEASURING, GATES = "Measuring", "Gates"


class UnfitValue(WrongUse):
    """A value that an option cannot take; `option` says which, so that its origin can be told."""

    def __init__(self, message: str, *, hints: list[str], option: str) -> None:
        super().__init__(message, hints=hints)
        self.option = option


def option(
    *spellings: str,
    help: str,  # noqa: A002 - the word that typer uses
    section: str,
    metavar: str | None = None,
    parse: Callable[[str], T] | None = None,
    environment: bool = True,
    completion: Callable[..., list[str]] | None = None,
) -> OptionInfo:
    """One option for use in `Annotated`; PRUNECLI_<NAME> sets it too unless `environment` is False."""
    name = next(spelling for spelling in spellings if spelling.startswith("--"))
    made: OptionInfo = typer.Option(
        *spellings,
        help=help,
        metavar=metavar,
        parser=None if parse is None else refusing(name, parse),
        envvar=variable(name) if environment else None,
        show_envvar=False,
        show_default=not any("/" in spelling for spelling in spellings),
        autocompletion=completion,
        rich_help_panel=section,
    )
    return made


def argument(
    name: str,
    *,
    help: str,  # noqa: A002 - the word that typer uses
    parse: Callable[[str], T],
    environment: bool = False,
    completion: Callable[..., list[str]] | None = None,
) -> ArgumentInfo:
    """One optional argument for use in `Annotated`."""
    made: ArgumentInfo = typer.Argument(
        help=help,
        metavar=name,
        parser=refusing(name, parse),
        envvar=variable(name) if environment else None,
        show_envvar=False,
        autocompletion=completion,
    )
    return made


def variable(name: str) -> str:
    """The environment variable of an option or argument: PRUNECLI_BATCH_SIZE of --batch-size."""
    return "PRUNECLI_" + name.split("/", maxsplit=1)[0].strip("-").replace("-", "_").upper()


def refusing(name: str, parse: Callable[[str], T]) -> Callable[[Any], T]:
    """`parse`, with its refusals turned into an error that names the option."""

    def parser(value: Any) -> T:
        if not isinstance(value, str):  # a default
            passed: T = value
            return passed
        given = value
        try:
            return parse(given)
        except Unfit as unfit:
            hints = [f"for example: {name} {unfit.example}"] if unfit.example else []
            raise UnfitValue(f"{name} takes {unfit.valid}, not {given!r}", hints=hints, option=name) from None
        except WrongUse as error:
            raise UnfitValue(error.message, hints=list(error.hints), option=name) from None

    return parser
