"""Typer's usage errors in the form of all others: one line, the nearest match, what is valid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.errors import nearest

if TYPE_CHECKING:
    from typer._click.core import Context


def explain(error: Any) -> list[str]:
    """The error line and its hints for an exception that typer raised over the arguments."""
    context: Context | None = getattr(error, "ctx", None)
    path = "prunecli" if context is None else context.command_path
    kind, message = type(error).__name__, str(error.message)
    if kind == "NoSuchOption":
        lines = _unknown_option(error.option_name, context, path)
    elif kind == "MissingParameter":
        lines = [f"{path} needs {_spelled(error.param)}"]
    elif kind == "BadParameter":
        lines = [f"{_spelled(error.param)}: {_lower(message)}"]
    elif context is not None and message.startswith("No such command"):
        lines = _unknown_command(message.partition("'")[2].rpartition("'")[0], context)
    elif message.startswith("Missing command"):
        lines = ["no command given", f"valid: {', '.join(_commands(context))}"]
    elif message.startswith("Got unexpected extra argument"):
        lines = [f"{path} takes no argument {message.partition('(s) (')[2].removesuffix(')')!r}"]
    else:
        lines = [_lower(message)]
    return [*lines, f"see: {path} --help"]


def _unknown_option(given: str, context: Context | None, path: str) -> list[str]:
    own = _options(context.command) if context is not None else []
    near = nearest(given, own)
    lines = [f"{path} has no option {given!r}"]
    if near:
        lines.append(f"did you mean {near!r}?")
    parent = context.parent if context is not None else None
    every = getattr(getattr(parent, "command", None), "every_command", None)
    commands = {} if every is None else every()
    others = [name for name, command in commands.items() if given in _options(command)]
    if others:
        lines.append(f"{given} belongs to: {', '.join(others)}")
    return lines


def _unknown_command(given: str, context: Context) -> list[str]:
    known = _commands(context)
    near = nearest(given, known)
    lines = [f"unknown command {given!r}"]
    if near:
        lines.append(f"did you mean {near!r}?")
    elif Path(given).exists():
        lines.append(f"to look into that file: prunecli inspect {given}")
    return [*lines, f"valid: {', '.join(known)}"]


def _commands(context: Context | None) -> list[str]:
    return list(getattr(context.command, "commands", {})) if context is not None else []


def _options(command: Any) -> list[str]:
    return [
        word for param in command.params for word in (*param.opts, *param.secondary_opts) if word[:1] == "-"
    ]


def _spelled(param: Any) -> str:
    """How the command line spells a parameter: --to, or CHECKPOINT."""
    if param is None:
        return "the command line"
    long = [word for word in param.opts if word.startswith("--")]
    return str(long[0] if long else (param.metavar or param.name).strip("[]"))


def _lower(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".")
