"""The options that only `prune` has, and the groups in which they stand in its signature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from prunecli.cli import options
from prunecli.cli.names import choice
from prunecli.cli.option import DATA, PRUNING, RESULT, option
from prunecli.cli.training_options import MinDelta, Patience, Recalibrate
from prunecli.cli.values import Numbers, flat, number, ratios, whole

if TYPE_CHECKING:
    from prunecli.strategies.bites import BiteWishes

RoundTo = Annotated[
    int,
    option(
        "--round-to",
        help="Leave a multiple of N channels in every group.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
MinChannels = Annotated[
    int,
    option(
        "--min-channels",
        help="Leave at least N channels in every group.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
Protect = Annotated[
    list[str] | None,
    option(
        "--protect",
        help="Take no channel from the layers whose name matches GLOB; may be repeated.",
        metavar="GLOB",
        section=PRUNING,
    ),
]
Residual = Annotated[
    str,
    option(
        "--residual",
        help="Channels tied by a residual sum: pruned together (coupled) or left alone (inner).",
        metavar="coupled|inner",
        parse=choice("residual", ("coupled", "inner")),
        section=PRUNING,
    ),
]
DryRun = Annotated[
    bool, option("--dry-run", help="Show the plan and its cost; write no checkpoint.", section=RESULT)
]
PlanOut = Annotated[
    str | None, option("--plan-out", help="Save the plan as JSON.", metavar="FILE", section=RESULT)
]
Plan = Annotated[
    str | None,
    option(
        "--plan", help="Carry out a saved plan instead of choosing channels.", metavar="FILE", section=PRUNING
    ),
]
MaxDrop = Annotated[
    float | None,
    option(
        "--max-drop",
        help="Exit 1 when accuracy falls by more than POINTS percentage points.",
        metavar="POINTS",
        parse=number(0),
        section=DATA,
    ),
]
Evaluate = Annotated[
    bool | None,
    option(
        "--evaluate/--no-evaluate",
        help="Measure accuracy before and after; unsaid, when --data is given or the sample model is taken.",
        section=DATA,
    ),
]


Steps = Annotated[
    int,
    option(
        "--steps",
        help="Bites of iterative, geometric and log.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
FirstBite = Annotated[
    float,
    option(
        "--first-bite",
        help="First bite of hybrid, as a share of the whole ratio.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]
LaterBites = Annotated[
    float | None,
    option(
        "--later-bites",
        help="Share of the remaining channels that each further bite of hybrid takes. Unsaid: 0.1 below a "
        "ratio of 0.8, else 0.02.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]
BiteRatios = Annotated[
    list[Numbers] | None,
    option(
        "--bites",
        help="Ratios after each bite of manual, rising, with commas between them; the last is --ratio.",
        metavar="R,R",
        parse=ratios,
        section=PRUNING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Biting:
    """How strategies that go in bites divide the way."""

    steps: Steps = 5
    first_bite: FirstBite = 0.7
    later_bites: LaterBites = None
    bites: BiteRatios = None
    patience: Patience = None
    min_delta: MinDelta = 0.0

    def wishes(self) -> BiteWishes:
        """The same as the workflow takes them."""
        from prunecli.strategies.bites import BiteWishes

        return BiteWishes(
            steps=self.steps,
            first=self.first_bite,
            later=self.later_bites,
            ratios=flat(self.bites or ()),
            patience=self.patience,
            min_delta=self.min_delta,
        )


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """Which channels go, and by which procedure."""

    ratio: options.Ratio = None
    criterion: options.Criterion = "l2"
    strategy: options.Strategy = "one-shot"
    scope: options.Scope = "local"
    residual: Residual = "coupled"
    round_to: RoundTo = 1
    min_channels: MinChannels = 1
    protect: Protect = None
    layer_ratio: options.LayerRatios = None
    scores: options.Scores = None
    plan: Plan = None
    seed: options.Seed = 0

    def arguments(self) -> dict[str, Any]:
        """The same as the workflow takes them; a plan says everything that a ratio would."""
        layers = {item.pattern: item.ratio for item in self.layer_ratio or ()}
        changed = {"protect": tuple(self.protect or ()), "layer_ratio": layers}
        return {**asdict(self), **changed, "ratio": None if self.plan else self.ratio}


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What the result is measured on, and against."""

    data: options.Data = None
    batches: options.Batches = 8
    skip_bad_images: options.SkipBadImages = False
    recalibrate: Recalibrate = None
    evaluate: Evaluate = None
    max_drop: MaxDrop = None


@dataclass(frozen=True, kw_only=True)
class Planning:
    """What is written instead of, or beside, the checkpoint."""

    dry_run: DryRun = False
    plan_out: PlanOut = None
