"""The options that only `inspect` has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from prunecli.cli import options, streams
from prunecli.cli.names import choice
from prunecli.cli.option import MEASURING, MODEL, RESULT, option
from prunecli.errors import WrongUse
from prunecli.reports.graphs.drawing import DRAWINGS, form_of

Graph = Annotated[
    str | None,
    option(
        "--graph",
        help="Draw the channel graph: to standard output instead of the tables, or beside them to -o FILE.",
        metavar="|".join(DRAWINGS),
        parse=choice("drawing", tuple(DRAWINGS)),
        section=RESULT,
    ),
]
GraphOutput = Annotated[
    str | None,
    option(
        "--output",
        "-o",
        help="File for the channel graph, drawn as its ending says: .txt, .dot, .mmd or .svg.",
        metavar="FILE",
        parse=streams.named,
        section=RESULT,
    ),
]
Widths = Annotated[
    bool,
    option(
        "--widths/--no-widths",
        help="Find out which widths this machine likes, in some seconds. Unsaid: multiples of 8.",
        section=MEASURING,
    ),
]
AllowNonfinite = Annotated[
    bool,
    option(
        "--allow-nonfinite/--refuse-nonfinite",
        help="Look at weights that hold NaN or infinity too, and name them.",
        section=MODEL,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Looking:
    """How a checkpoint is looked at, and what is drawn of it."""

    allow_nonfinite: AllowNonfinite = False
    graph: Graph = None
    output: GraphOutput = None
    widths: Widths = False
    report: options.Report = None
    force: options.Force = False

    @property
    def piped(self) -> bool:
        """Whether the drawing itself is what standard output gets."""
        return self.graph is not None and self.output in (None, "-")

    @property
    def drawn(self) -> str | None:
        """How the graph is drawn; None where it is not.

        Raises WrongUse where a file does not say it, or standard output is wanted for two things.
        """
        if self.graph is None and self.output is not None:
            return form_of(self.output)
        return self.graph

    def check_stdout(self, manner: str) -> None:
        """Raise WrongUse where both the drawing and the result are to go to standard output."""
        if self.piped and manner not in ("table", "path"):
            raise WrongUse(
                f"--graph {self.graph} and --format {manner} both ask for standard output",
                hints=["name a file for the drawing: -o graph.svg"],
            )
