"""The options that only `prune` has, and the groups in which they stand in its signature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from prunecli.allocation.targets import check_told
from prunecli.cli import options, streams
from prunecli.cli.layer_names import layers
from prunecli.cli.names import choice, criteria
from prunecli.cli.option import DATA, GATES, PRUNING, RESULT, option
from prunecli.cli.training_options import MinDelta, Patience, Recalibrate
from prunecli.cli.values import (
    Names,
    Numbers,
    flat,
    multiple,
    multiple_of,
    number,
    ratios,
    target,
    whole,
)

if TYPE_CHECKING:
    from prunecli.strategies.bites import BiteWishes
    from prunecli.strategies.loss_aware import LossAwareWishes

Target = Annotated[
    str | None,
    option(
        "--target",
        help="What may remain, met within 1 % from below: macs, flops, params, size or latency, as a share "
        "(macs=0.5) or an amount (params=3e6, size=10MB, latency=5ms). Stands in place of --ratio.",
        metavar="COST=AMOUNT",
        parse=target,
        section=PRUNING,
    ),
]
LatencyBatch = Annotated[
    int,
    option(
        "--latency-batch",
        help="Inputs at once when the latency of --target is measured.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
Scope = Annotated[
    str,
    option(
        "--scope",
        help="Remove the share in each group (local), over all groups together (global), over groups that "
        "are alike (isomorphic), more from groups that cost more time than their MACs say (latency), or what "
        "costs the least importance for a target (exact).",
        metavar="local|global|isomorphic|latency|exact",
        parse=choice("scope", ("local", "global", "isomorphic", "latency", "exact")),
        section=PRUNING,
    ),
]
Normalization = Annotated[
    str | None,
    option(
        "--normalization",
        help="How groups' scores come onto one scale for a ranking over several groups. Unsaid: mean, for "
        "--scope exact none.",
        metavar="NAME",
        parse=choice(
            "normalization",
            ("none", "mean", "l2", "max", "sum", "std", "rank", "per-MAC", "sensitivity"),
        ),
        section=PRUNING,
    ),
]
Sensitivity = Annotated[
    str | None,
    option(
        "--sensitivity",
        help="What each group alone costs, as `sensitivity --save` has measured it: groups that cost less "
        "lose more. With --scope global or isomorphic.",
        metavar="FILE",
        section=PRUNING,
    ),
]
RoundTo = Annotated[
    str,
    option(
        "--round-to",
        help="Leave a multiple of N channels in every group; auto measures which one this machine likes.",
        metavar="N|auto",
        parse=multiple,
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
        completion=layers,
        section=PRUNING,
    ),
]
Residual = Annotated[
    str,
    option(
        "--residual",
        help="Channels tied by a residual sum: pruned together (coupled), left alone (inner), or left alone "
        "while the layer that ends a branch loses its own and adds the others where they belong (scatter).",
        metavar="coupled|inner|scatter",
        parse=choice("residual", ("coupled", "inner", "scatter")),
        section=PRUNING,
    ),
]
DryRun = Annotated[
    bool, option("--dry-run", help="Show the plan and its cost; write no checkpoint.", section=RESULT)
]
PlanOut = Annotated[
    str | None,
    option(
        "--plan-out", help="Save the plan as JSON.", metavar="FILE", parse=streams.file_name, section=RESULT
    ),
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
        help="Exit 1 when accuracy falls by more than POINTS percentage points; without --ratio or --target, "
        "look for the most that may go.",
        metavar="POINTS",
        parse=number(0),
        section=GATES,
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
    int | None,
    option(
        "--steps",
        help="Bites, where the schedule does not say how many. Unsaid: the strategy's own, else 5.",
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

    steps: Steps = None
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


Pool = Annotated[
    Names | None,
    option(
        "--pool",
        help="Criteria of which laasp takes in every step the one that costs the least loss. Unsaid: "
        "l1,l2,fpgm,cosine.",
        metavar="NAME,NAME",
        parse=criteria,
        section=PRUNING,
    ),
]
StepMacs = Annotated[
    float,
    option(
        "--step-macs",
        help="Share of the MACs that a step of laasp takes.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]
RecoverMacs = Annotated[
    float,
    option(
        "--recover-macs",
        help="Share of the MACs after which laasp cuts and trains.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]
EvalImages = Annotated[
    int,
    option(
        "--eval-images",
        help="Training images on which laasp measures the loss.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
MaxLayerRatio = Annotated[
    float,
    option(
        "--max-layer-ratio",
        help="Share of a group's channels that laasp removes at most.",
        metavar="R",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class LossAware:
    """How laasp chooses."""

    pool: Pool = None
    step_macs: StepMacs = 0.01
    recover_macs: RecoverMacs = 0.02
    eval_images: EvalImages = 10_000
    max_layer_ratio: MaxLayerRatio = 0.65

    def wishes(self) -> LossAwareWishes:
        """The same as the workflow takes them."""
        from prunecli.strategies.loss_aware import LossAwareWishes

        return LossAwareWishes(
            pool=tuple(self.pool or LossAwareWishes().pool),
            step_macs=self.step_macs,
            recover_macs=self.recover_macs,
            images=self.eval_images,
            max_layer_ratio=self.max_layer_ratio,
        )


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """Which channels go, and by which procedure."""

    ratio: options.Ratio = None
    target: Target = None
    criterion: options.StrategyCriterion = None
    strategy: options.Strategy = "one-shot"
    scope: Scope = "local"
    normalization: Normalization = None
    sensitivity: Sensitivity = None
    latency_batch: LatencyBatch = 1
    residual: Residual = "coupled"
    round_to: RoundTo = "1"
    min_channels: MinChannels = 1
    protect: Protect = None
    layer_ratio: options.LayerRatios = None
    scores: options.Scores = None
    plan: Plan = None
    seed: options.Seed = 0

    def arguments(self, *, max_drop: float | None = None) -> dict[str, Any]:
        """The same as the workflow takes them; a plan says everything that a ratio would.

        Raises WrongUse when neither these nor `max_drop` say how much is to leave.
        """
        layers = {item.pattern: item.ratio for item in self.layer_ratio or ()}
        changed: dict[str, Any] = {
            "protect": tuple(self.protect or ()),
            "layer_ratio": layers,
            "round_to": multiple_of(self.round_to),
            "ratio": None if self.plan else self.ratio,
        }
        check_told(
            ratio=changed["ratio"], target=self.target, plan=self.plan, layer_ratio=layers, max_drop=max_drop
        )
        return {**asdict(self), **changed}


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
    """What is written instead of, or beside, the checkpoint, and whether the network is held meanwhile."""

    stream: options.Stream = None
    dry_run: DryRun = False
    plan_out: PlanOut = None
