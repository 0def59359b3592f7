"""The commands of `prunecli` and what stands above them: --version, --help, shell completion."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from prunecli.cli.coercion import coerce_plainly
from prunecli.cli.command import PrunecliCommand
from prunecli.cli.gathering import gathered
from prunecli.cli.help import write_commands, write_examples, write_sections
from prunecli.version import __version__

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter
    from typer._click.formatting import HelpFormatter

# In the order of a model's way through the tool; each is a module of `commands/`.
COMMANDS = (
    "inspect",
    "score",
    "compare",
    "prune",
    "finetune",
    "evaluate",
    "export",
    "bench",
    "diff",
    "sensitivity",
    "sweep",
    "check",
    "catalog",
)

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_EXAMPLES = """
prunecli inspect model.safetensors
prunecli prune model.safetensors --ratio 0.5 -o small.safetensors
prunecli prune --ratio 0.5 --strategy ghfp
prunecli catalog criteria
"""


class PrunecliGroup(TyperGroup):
    """The commands, with plain help."""

    def every_command(self) -> dict[str, Any]:
        """All commands by name, those that were not made for this call too."""
        if len(self.commands) < len(COMMANDS):
            whole: Any = typer.main.get_command(application())
            return dict(whole.commands)
        return dict(self.commands)

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, --help among them, each with its own parser."""
        return coerce_plainly(super().get_params(ctx))

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The commands first, then the few options."""
        write_commands(self.commands, formatter)
        write_sections(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The examples, line by line."""
        write_examples(self.epilog, formatter)


def application(only: str | None = None, *, listed: bool = False) -> typer.Typer:
    """The whole command line, or the one command `only`; importing it loads neither torch nor rich.

    With `listed` the commands have names and help and no options: making all of these takes as long as
    everything else that is done until the commands are shown.
    """
    app = typer.Typer(
        name="prunecli",
        cls=PrunecliGroup,
        context_settings=_SETTINGS,
        epilog=_EXAMPLES,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        suggest_commands=False,
    )
    app.callback()(prunecli)
    for name in COMMANDS if only is None else (only,):
        module: Any = importlib.import_module(f"prunecli.cli.commands.{name}")
        command = getattr(module, name)
        if listed:
            app.command(name, help=command.__doc__)(_listed)
        else:
            app.command(name, cls=PrunecliCommand, epilog=module.EXAMPLES)(gathered(command))
    return app


def _listed() -> None:
    """Stands for a command that is only shown."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prunecli {__version__}")
        raise typer.Exit


def prunecli(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Score, compare, prune, fine-tune and export networks from a checkpoint.

    CHECKPOINT is a path, - for standard input, or left out: then `checkpoint` of [tool.prunecli], else a
    sample model. Results go to standard output, everything else to standard error. Any option can also be
    set by PRUNECLI_<OPTION> or in [tool.prunecli] of pyproject.toml.
    """
