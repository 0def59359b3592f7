"""The options that only `sweep` has, the groups in which they stand, and how a trial is said as `prune`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from prunecli.cli import options, streams
from prunecli.cli.gathering import Subject
from prunecli.cli.names import choice, completion, name
from prunecli.cli.option import GATES, PRUNING, RESULT, TRAINING, option
from prunecli.cli.part_options import When
from prunecli.cli.pruning_options import MinChannels, Protect, Residual, RoundTo
from prunecli.cli.values import (
    LayerRatio,
    Names,
    Numbers,
    Shape,
    Unfit,
    flat,
    multiple_of,
    number,
    ratio,
    ratios,
    target,
    whole,
)
from prunecli.errors import WrongUse
from prunecli.search.samplers import SAMPLERS
from prunecli.search.space import Span, Value
from prunecli.search.stopping import LAYERS

if TYPE_CHECKING:
    from prunecli.workflows.sweep_request import Budget, StudyWish, SweepSpace

RATIO_STEP = 0.01
_SCOPES = ("local", "global")
_NONE = "none"


def ratio_choice(text: str) -> Numbers | Span:
    """Ratios with commas between them, or two with dots between them: 0.2..0.8."""
    low, dots, high = text.partition("..")
    if not dots:
        return ratios(text)
    try:
        first, last = ratio(low), ratio(high)
    except Unfit:
        first, last = 1.0, 0.0
    if not first < last:
        raise Unfit(
            "fractions with commas between them, or a range from a lower to a higher one", example="0.2..0.8"
        )
    return Span(first, last, RATIO_STEP)


def names(parse: Callable[[str], str]) -> Callable[[str], Names]:
    """A parser of several names with commas between them."""
    return lambda text: Names(parse(part.strip()) for part in text.split(","))


Ratios = Annotated[
    list[Any] | None,
    option(
        "--ratio",
        "--ratios",
        help="Fractions of channels to remove: with commas between them, or 0.2..0.8 for all hundredths from "
        "one to the other. Unsaid: 0.3,0.5,0.7.",
        metavar="R,R|R..R",
        parse=ratio_choice,
        section=PRUNING,
    ),
]
Targets = Annotated[
    list[Names] | None,
    option(
        "--target",
        "--targets",
        help="In place of ratios: what may remain, with commas between, as `prune` takes it: "
        "macs=0.5,macs=0.3,params=3e6.",
        metavar="COST=AMOUNT",
        parse=names(target),
        section=PRUNING,
    ),
]
Strategies = Annotated[
    list[Names] | None,
    option(
        "--strategy",
        "--strategies",
        help="Procedures over time, with commas between them; see `catalog strategies`. Unsaid: one-shot.",
        metavar="NAME,NAME",
        parse=names(name("strategies")),
        completion=completion("strategies"),
        section=PRUNING,
    ),
]
Scopes = Annotated[
    list[Names] | None,
    option(
        "--scope",
        "--scopes",
        help="local, global or both. Unsaid: local.",
        metavar="local,global",
        parse=names(choice("scope", _SCOPES)),
        section=PRUNING,
    ),
]
Trials = Annotated[
    int | None,
    option(
        "--trials",
        help="Trials in all processes together. Unsaid: every point of a grid, 30 of another sampler.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
Sampler = Annotated[
    str | None,
    option(
        "--sampler",
        help="What proposes the next trial. Unsaid: grid, for a range of ratios tpe.",
        metavar="|".join(SAMPLERS),
        parse=choice("sampler", tuple(SAMPLERS)),
        section=PRUNING,
    ),
]
Seeds = Annotated[
    int,
    option(
        "--seeds",
        help="Runs of a trial, each with the next seed; their trimmed mean is its accuracy.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
MaxDrop = Annotated[
    float | None,
    option(
        "--max-drop",
        help="Points of validation accuracy that may be lost: a trial that cannot keep to it is stopped; "
        "exit 1 when none does.",
        metavar="POINTS",
        parse=number(0),
        section=GATES,
    ),
]
ThresholdFrom = Annotated[
    int,
    option(
        "--threshold-from",
        help="--max-drop stops a trial after N of its seeds at the earliest.",
        metavar="N",
        parse=whole(1),
        section=PRUNING,
    ),
]
StopBy = Annotated[
    list[Names] | None,
    option(
        "--stop-by",
        help="What may stop a trial before its last seed, with commas between: comparison, semantic, "
        "threshold; or none. Unsaid: all three.",
        metavar="LAYER,LAYER",
        parse=names(choice("layer", (*LAYERS, _NONE))),
        section=PRUNING,
    ),
]
Timeout = Annotated[
    float | None,
    option(
        "--timeout",
        help="Begin no run after so many seconds; the same command goes on.",
        metavar="SECONDS",
        parse=number(0, above=0),
        section=PRUNING,
    ),
]
Storage = Annotated[
    str,
    option(
        "--storage",
        help="Where the trials are kept, for any number of processes: a journal file, FILE.db, "
        "postgresql://…, or memory.",
        metavar="STORAGE",
        section=PRUNING,
    ),
]
StudyName = Annotated[
    str | None,
    option(
        "--study",
        help="Name of the study in the storage. Unsaid: one that follows from what is asked.",
        metavar="NAME",
        section=PRUNING,
    ),
]
LostAfter = Annotated[
    float,
    option(
        "--lost-after",
        help="Minutes of silence after which a trial on another machine is begun again.",
        metavar="MINUTES",
        parse=number(0, above=0),
        section=PRUNING,
    ),
]
Pick = Annotated[
    int | None,
    option(
        "--pick",
        help="Write the network of trial N, in place of the best one.",
        metavar="N",
        parse=whole(0),
        section=RESULT,
    ),
]
Output = Annotated[
    str | None,
    option(
        "--output",
        "-o",
        help="Make the best trial's network again, measure it on the test part and write it: a file, or - "
        "for standard output.",
        metavar="FILE",
        parse=streams.writable,
        section=RESULT,
    ),
]
Epochs = Annotated[
    int,
    option(
        "--epochs",
        help="Passes over the data in each run, the same for every strategy.",
        metavar="N",
        parse=whole(0),
        section=TRAINING,
    ),
]
Recalibrate = Annotated[
    int | None,
    option(
        "--recalibrate",
        help="Batches on which batch norms are measured again after a cut; 0 for none. Unsaid: 10.",
        metavar="N",
        parse=whole(0),
        section=TRAINING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Trying:
    """Which values are tried."""

    ratio: Ratios = None
    target: Targets = None
    criteria: options.CriteriaOrSaved = None
    strategy: Strategies = None
    scope: Scopes = None

    def space(self) -> SweepSpace:
        """The same as the workflow takes it, what is unsaid as there; WrongUse for ratios beside targets."""
        from prunecli.workflows.sweep_request import SweepSpace

        unsaid = SweepSpace()
        if self.ratio and self.target:
            raise WrongUse("--ratio and --target both say how much to remove", hints=["give one of them"])
        return SweepSpace(
            ratios=_ratios(self.ratio or ()) or unsaid.ratios,
            criteria=flat(self.criteria or ()) or unsaid.criteria,
            strategies=flat(self.strategy or ()) or unsaid.strategies,
            scopes=flat(self.scope or ()) or unsaid.scopes,
            targets=flat(self.target or ()),
        )


@dataclass(frozen=True, kw_only=True)
class Searching:
    """How much is tried, by what, when a trial is stopped, and where trials are kept."""

    trials: Trials = None
    sampler: Sampler = None
    seeds: Seeds = 3
    max_drop: MaxDrop = None
    threshold_from: ThresholdFrom = 4
    stop_by: StopBy = None
    timeout: Timeout = None
    storage: Storage = "sweep.journal"
    study: StudyName = None
    lost_after: LostAfter = 30.0

    def budget(self, *, seed: int) -> Budget:
        """The limits as the workflow takes them."""
        from prunecli.workflows.sweep_request import Budget

        return Budget(
            trials=self.trials,
            seeds=self.seeds,
            seed=seed,
            timeout=self.timeout,
            max_drop=self.max_drop,
            threshold_from=self.threshold_from,
            stop_by=tuple(layer for layer in flat(self.stop_by or (LAYERS,)) if layer != _NONE),
        )

    def wish(self) -> StudyWish:
        """The study as the workflow takes it."""
        from prunecli.workflows.sweep_request import StudyWish

        return StudyWish(
            storage=self.storage, name=self.study, sampler=self.sampler, lost_after=60 * self.lost_after
        )


@dataclass(frozen=True, kw_only=True)
class Bounding:
    """What holds for every trial's cut."""

    residual: Residual = "coupled"
    round_to: RoundTo = "1"
    min_channels: MinChannels = 1
    protect: Protect = None
    layer_ratio: options.LayerRatios = None
    recalibrate: Recalibrate = None
    batches: options.Batches = 8
    seed: options.Seed = 0

    def arguments(self) -> dict[str, Any]:
        """The same as `prune` takes them."""
        layers = {item.pattern: item.ratio for item in self.layer_ratio or ()}
        changed = {
            "protect": tuple(self.protect or ()),
            "layer_ratio": layers,
            "round_to": multiple_of(self.round_to),
        }
        return {key: value for key, value in {**asdict(self), **changed}.items() if key != "seed"}


@dataclass(frozen=True, kw_only=True)
class Images:
    """Which images are learnt from and judged by."""

    data: options.Data = None
    skip_bad_images: options.SkipBadImages = False


def prune_line(values: Mapping[str, Value], subject: Subject, *groups: Any, epochs: int) -> str:
    """The command that makes the network of a trial's first seed again; `groups` as they were filled."""
    keys = [key for key in ("ratio", "target", "criterion", "strategy") if key in values]
    said = [word for key in keys for word in (f"--{key}", str(values[key]))]
    if values["scope"] != _SCOPES[0]:
        said += ["--scope", str(values["scope"])]
    checkpoint = [] if subject.checkpoint is None else [subject.checkpoint]
    further = [word for group in (subject, *groups) for word in _words(group)]
    return shlex.join(["prunecli", "prune", *checkpoint, *said, "--epochs", str(epochs), *further])


def _ratios(given: Sequence[Any]) -> tuple[float, ...] | Span | None:
    """Lists joined; a range stands alone. Raises WrongUse for a range beside something else."""
    spans = [each for each in given if isinstance(each, Span)]
    if not spans:
        return flat(given)
    if len(given) > 1:
        raise WrongUse("a range of ratios stands alone", hints=["give a list, or one range such as 0.2..0.8"])
    return spans[0]


def _words(group: Any) -> Iterator[str]:
    """A filled group as words of a command line: what differs from its defaults."""
    hints = get_type_hints(type(group), include_extras=True)
    for field in fields(group):
        value = getattr(group, field.name)
        made = next(each for each in get_args(hints[field.name]) if hasattr(each, "param_decls"))
        # In an annotation typer keeps the first spelling where the default would be.
        spellings = [each for each in (made.default, *(made.param_decls or ())) if isinstance(each, str)]
        spelled = next((each for each in spellings if each.startswith("--")), None)
        if spelled is None or value == field.default:
            continue
        for each in value if isinstance(value, list) else [value]:
            yield from _said(spelled, each)


def _said(spelled: str, value: Any) -> tuple[str, ...]:
    """One option with its value."""
    on, _, off = spelled.partition("/")
    if isinstance(value, bool):
        return (on if value else off,)
    if isinstance(value, LayerRatio):
        return (on, f"{value.pattern}={value.ratio:g}")
    if isinstance(value, When):
        return (on, ":".join(str(part) for part in value if part is not None))
    if isinstance(value, tuple):
        return (on, ("x" if isinstance(value, Shape) else ",").join(map(str, value)))
    return (on, str(value))
