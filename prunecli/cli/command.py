"""How a command reads its line: configuration under it, plain help in sections, one format settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from prunecli.cli import configuration, output
from prunecli.cli.coercion import coerce_plainly
from prunecli.cli.help import write_examples, write_sections
from prunecli.cli.option import UnfitValue, variable
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter
    from typer._click.formatting import HelpFormatter

_RANK = ("DEFAULT", "DEFAULT_MAP", "ENVIRONMENT", "COMMANDLINE")
_TOLD = ("checkpoint", "model", "data")


@dataclass
class Session:
    """What the top of a run must know even when the run fails."""

    verbose: bool = False


class PrunecliCommand(TyperCommand):
    """A command whose options may also come from the environment and from a configuration file."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, --help among them, each with its own parser."""
        return coerce_plainly(super().get_params(ctx))

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Fill in what the command line leaves open: flags win over environment, over configuration."""
        found = configuration.NOTHING
        if not ctx.resilient_parsing and not set(args) & set(ctx.help_option_names):
            found = configuration.find()
            if found.values:  # else the options of the other commands need not be made
                configuration.check(found, _siblings(ctx))
            ctx.default_map = configuration.defaults(found, self.params)
        try:
            rest = super().parse_args(ctx, args)
        except UnfitValue as error:
            raise _with_origin(error, ctx, found) from None
        if not ctx.resilient_parsing:
            _settle_format(ctx)
            ctx.meta["prunecli.origins"] = _origins(ctx, found)
            session = ctx.find_object(Session)
            if session is not None:
                session.verbose = bool(ctx.params.get("verbose"))
        return rest

    def invoke(self, ctx: Context) -> Any:
        """Say what was taken from elsewhere, then do the work."""
        if not ctx.params.get("quiet"):
            output.notes(ctx.meta.get("prunecli.origins", ()))
        return super().invoke(ctx)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Options in sections instead of one long list."""
        write_sections(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The examples, line by line."""
        write_examples(self.epilog, formatter)


def source(ctx: Context, name: str) -> str:
    """Where a parameter's value came from: DEFAULT, DEFAULT_MAP, ENVIRONMENT or COMMANDLINE."""
    found = ctx.get_parameter_source(name)
    return "DEFAULT" if found is None else found.name


def _siblings(ctx: Context) -> list[Parameter]:
    """The parameters of all commands: a configuration serves them all."""
    every = getattr(ctx.parent.command, "every_command", None) if ctx.parent else None
    commands = {} if every is None else every()
    return [param for command in commands.values() for param in command.params]


def _settle_format(ctx: Context) -> None:
    """One format out of --format, --json and --quiet; the nearer to the command line wins."""
    if "format" not in ctx.params:
        return
    chosen, asked = ctx.params["format"], source(ctx, "format")
    if ctx.params["json"]:
        other = source(ctx, "json")
        if asked == other == "COMMANDLINE" and chosen != "json":
            raise WrongUse(f"--json and --format {chosen} ask for two formats", hints=["give one of the two"])
        if _RANK.index(other) >= _RANK.index(asked):
            chosen, asked = "json", other
    if ctx.params["quiet"] and asked != "COMMANDLINE":
        chosen = "path"
    ctx.params["format"] = chosen


def _origins(ctx: Context, found: configuration.Configuration) -> tuple[str, ...]:
    """Lines that say what was taken from elsewhere than the command line."""
    lines = []
    for name in _TOLD:
        value, where = ctx.params.get(name), source(ctx, name)
        if value is not None and where == "ENVIRONMENT":
            lines.append(f"{name}: {_written(value)} (from {variable(name)})")
        elif value is not None and where == "DEFAULT_MAP":
            lines.append(f"{name}: {_written(value)} (from {found.label})")
    return tuple(lines)


def _written(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _with_origin(error: UnfitValue, ctx: Context, found: configuration.Configuration) -> WrongUse:
    """The same error with the place of the value, when it is not on the command line."""
    param: Any = next((p for p in ctx.command.params if configuration.answers_to(p, error.option)), None)
    where = source(ctx, param.name) if param is not None else "COMMANDLINE"
    if where == "ENVIRONMENT":
        return WrongUse(f"{error.message} (in {variable(error.option)})", hints=error.hints)
    if where == "DEFAULT_MAP":
        return WrongUse(f"{error.message} (in {found.label})", hints=error.hints)
    return error
