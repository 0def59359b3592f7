"""The options that only `compare` has, and the groups in which they stand in its signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from prunecli.cli import options, streams
from prunecli.cli.gathering import command_line
from prunecli.cli.layer_names import layers
from prunecli.cli.option import DATA, PRUNING, RESULT, option
from prunecli.cli.values import AgreementGate, Names, agreement_gate, flat, whole

if TYPE_CHECKING:
    from prunecli.analysis.gates import Gate
    from prunecli.workflows.keeping import Keepsakes

_CRITERIA = Names(("l1", "l2", "fpgm"))

Top = Annotated[
    int,
    option(
        "--top", help="Show the N filters that would go first.", metavar="N", parse=whole(0), section=RESULT
    ),
]
NoiseFloor = Annotated[
    bool,
    option(
        "--noise-floor/--no-noise-floor",
        help="Score again on other images and another seed, to tell disagreement from noise; on by default "
        "where that changes a score.",
        section=DATA,
    ),
]
Cwda = Annotated[
    bool,
    option(
        "--cwda", help="Test the assumption on weights under which norms must rank alike.", section=PRUNING
    ),
]
Judge = Annotated[
    bool,
    option(
        "--judge",
        help="Cut by each criterion at each ratio, and measure the damage on held-out images; adds the "
        "criterion oracle.",
        section=DATA,
    ),
]
FailAbove = Annotated[
    list[AgreementGate] | None,
    option(
        "--fail-above",
        help="Exit 1 when criteria agree by more than LIMIT (jaccard, spearman, kendall, rbo); repeatable.",
        metavar="METRIC=LIMIT[:NAME,NAME]",
        parse=agreement_gate,
        section=RESULT,
    ),
]
PlotRanks = Annotated[
    str | None,
    option(
        "--plot-ranks",
        help="Draw the ranks of one layer's filters by each criterion against each other.",
        metavar="FILE",
        parse=streams.file_name,
        section=RESULT,
    ),
]
PlotLayer = Annotated[
    str | None,
    option(
        "--plot-layer",
        help="The layer of --plot-ranks.",
        metavar="NAME",
        completion=layers,
        section=RESULT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What is compared."""

    criteria: options.CriteriaOrSaved = None
    scores: options.Scores = None
    seed: options.Seed = 0
    cwda: Cwda = False
    noise_floor: NoiseFloor = True
    judge: Judge = False

    def arguments(self) -> dict[str, Any]:
        """The same as the workflow takes them; saved scores bring their own criteria."""
        saved = self.criteria is None and self.scores is not None
        return {
            "criteria": None if saved else flat(self.criteria or (_CRITERIA,)),
            "scores": self.scores,
            "seed": self.seed,
            "cwda": self.cwda,
            "noise_floor": self.noise_floor,
            "judge_cuts": self.judge,
        }


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What is shown and kept of it, and which gates it has to pass."""

    top: Top = 8
    fail_above: FailAbove = None
    plot: options.Plot = None
    plot_ranks: PlotRanks = None
    plot_layer: PlotLayer = None
    report: options.Report = None
    force: options.Force = False

    def keepsakes(self) -> Keepsakes:
        """The pictures and the report as the workflow takes them."""
        from prunecli.workflows.keeping import Keepsakes

        return Keepsakes(
            plot=self.plot,
            plot_ranks=self.plot_ranks,
            plot_layer=self.plot_layer,
            report=self.report,
            force=self.force,
            command=command_line(),
        )

    def gates(self) -> tuple[Gate, ...]:
        """The gates as the analysis takes them."""
        from prunecli.analysis.gates import Gate

        return tuple(Gate(each.metric, each.limit, each.criteria) for each in self.fail_above or ())
