"""The options that put other parts in the place of a strategy's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from prunecli.cli import streams
from prunecli.cli.names import choice
from prunecli.cli.option import PRUNING, option
from prunecli.cli.values import Unfit, number, whole
from prunecli.errors import unknown_name
from prunecli.strategies.parts import DROP, HARDNESSES, RATES, TRIGGERS
from prunecli.strategies.schedules import SCHEDULES

if TYPE_CHECKING:
    from prunecli.strategies.parts import PartWishes


class When(tuple[str, float | None]):
    """A trigger, with the points of a drop."""

    __slots__ = ()


def when(text: str) -> When:
    """always, never, drop or drop:POINTS."""
    word, _, points = text.partition(":")
    if word not in TRIGGERS:
        raise unknown_name("trigger", word, TRIGGERS)
    if not points:
        return When((word, None))
    if word != DROP:
        raise Unfit(f"points with {DROP} only", example=f"{DROP}:1.5")
    return When((word, number(0)(points)))


RatioSchedule = Annotated[
    str | None,
    option(
        "--ratio-schedule",
        help="How much is gone when, in place of the strategy's own.",
        metavar="|".join(SCHEDULES),
        parse=choice("ratio schedule", tuple(SCHEDULES)),
        section=PRUNING,
    ),
]
Hardness = Annotated[
    str | None,
    option(
        "--hardness",
        help="What a pruned filter may still do, in place of the strategy's own.",
        metavar="|".join(HARDNESSES),
        parse=choice("hardness", tuple(HARDNESSES)),
        section=PRUNING,
    ),
]
Trigger = Annotated[
    When | None,
    option(
        "--trigger",
        help="When to train: after every bite, when the validation accuracy is POINTS below that of the "
        "dense network, or after the last bite only.",
        metavar="always|drop:POINTS|never",
        parse=when,
        section=PRUNING,
    ),
]
Alpha = Annotated[
    float | None,
    option(
        "--alpha",
        help="First factor of filters that are decayed.",
        metavar="A",
        parse=number(0, above=0, most=1),
        section=PRUNING,
    ),
]
PruneEvery = Annotated[
    int | None,
    option(
        "--prune-every",
        help="Rank anew every N steps of a training in which filters are pruned. Unsaid: the strategy's own.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
EpochsEach = Annotated[
    int | None,
    option(
        "--epochs-each",
        help="Epochs of each training after a bite, in place of a share of --epochs.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
FinalEpochs = Annotated[
    int | None,
    option(
        "--final-epochs",
        help="Epochs after the last bite, whatever the trigger.",
        metavar="N",
        parse=whole(0),
        section=PRUNING,
    ),
]
Rate = Annotated[
    str | None,
    option(
        "--rate",
        help="Learning rate of a training after a bite: --lr and --schedule (fixed), or one that falls with "
        "the share of the weights that left.",
        metavar="|".join(RATES),
        parse=choice("rate", tuple(RATES)),
        section=PRUNING,
    ),
]
RateBase = Annotated[
    float | None,
    option(
        "--rate-base",
        help="Pruning-aware rate of the whole network.",
        metavar="RATE",
        parse=number(0, above=0),
        section=PRUNING,
    ),
]
RateMidpoint = Annotated[
    float | None,
    option(
        "--rate-midpoint",
        help="Share of the weights that left where the pruning-aware rate has fallen halfway.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=PRUNING,
    ),
]
RateSteepness = Annotated[
    float | None,
    option(
        "--rate-steepness",
        help="How fast the pruning-aware rate falls there.",
        metavar="B",
        parse=number(0, above=0),
        section=PRUNING,
    ),
]
RateFall = Annotated[
    float | None,
    option(
        "--rate-fall",
        help="By how much the pruning-aware rate falls in all.",
        metavar="RATE",
        parse=number(0),
        section=PRUNING,
    ),
]
FreezeShare = Annotated[
    float | None,
    option(
        "--freeze-share",
        help="Share of the convolutions that stay as they are: those that change least in a trial.",
        metavar="S",
        parse=number(0, below=1),
        section=PRUNING,
    ),
]
Distil = Annotated[
    bool | None,
    option(
        "--distill/--no-distill",
        help="Learn from the outputs of the network before pruning as well. Unsaid: the strategy's own.",
        section=PRUNING,
    ),
]
Rewind = Annotated[
    str | None,
    option(
        "--rewind",
        help="Begin each training after a bite with the weights of this earlier checkpoint of the network.",
        metavar="CHECKPOINT",
        parse=streams.readable,
        section=PRUNING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Parting:
    """The parts of a strategy, each None for the strategy's own."""

    ratio_schedule: RatioSchedule = None
    hardness: Hardness = None
    trigger: Trigger = None
    alpha: Alpha = None
    prune_every: PruneEvery = None
    epochs_each: EpochsEach = None
    final_epochs: FinalEpochs = None
    rate: Rate = None
    rate_base: RateBase = None
    rate_midpoint: RateMidpoint = None
    rate_steepness: RateSteepness = None
    rate_fall: RateFall = None
    freeze_share: FreezeShare = None
    distill: Distil = None
    rewind: Rewind = None

    def wishes(self) -> PartWishes:
        """The same as the workflow takes them."""
        from prunecli.strategies.parts import PartWishes

        word, points = self.trigger or (None, None)
        own = {name: value for name, value in vars(self).items() if name in PartWishes.__dataclass_fields__}
        return PartWishes(**{**own, "schedule": self.ratio_schedule, "trigger": word, "drop": points})
