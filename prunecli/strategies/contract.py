"""What a strategy is given and gives back, and how one joins.

A strategy is a function from a task to an outcome with a decorator, in a file of this room or in a package
that names a module under the entry-point group `prunecli.strategies`:

    @strategy("one-shot", source="...", parts=Parts(schedule="one-shot", hardness="removed"))
    def one_shot(task: PruningTask) -> PruningOutcome:
        '''Caption for the catalog.'''
        return carry_out(task)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from prunecli.allocation.targets import KINDS
from prunecli.errors import WrongUse
from prunecli.progress import Progress, silent
from prunecli.registry import Registry
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.diary import Diary
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.parts import Parts, PartWishes
from prunecli.strategies.schedules import Share

if TYPE_CHECKING:
    from torch import nn

    from prunecli.allocation.bounds import Bounds
    from prunecli.allocation.choosing import Allocation, GroupScores
    from prunecli.data.splits import TrainingData
    from prunecli.graph.channel_graph import ChannelGraph
    from prunecli.strategies.procedures.freezing_trial import FreezingTrial
    from prunecli.surgery.planning import Planned
    from prunecli.surgery.verification import Verification
    from prunecli.training.settings import EpochRecord, FitSettings


class Ranked(Protocol):
    """What a ranking gives: which channels leave at a share of what is asked for."""

    def __call__(self, share: Share, first: Mapping[str, Sequence[int]] = ..., /) -> Allocation:
        """Those `first` (channels by group) leave before all others, whatever their scores."""
        ...


@dataclass(frozen=True, kw_only=True)
class PruningTask:
    """What a strategy works on.

    `model` is the network with its weights, which the strategy may train in place. `rank` ranks the channels
    by a network's present weights, once; what it gives says which leave when a share (0 to 1) of what is
    asked for does. `rank_by` gives the groups' scores by any criteria. `after` is the same task for what a
    cut has left of the network: what has left before counts then. `data` and `settings` are there when the
    strategy trains. `parts` are what it is made of; `bites` say how the way to `ratio` is divided, and
    `recalibrate` on how many batches the batch norms of a cut network are measured again. `earlier` is the
    whole network with the weights that it is rewound to before a training. `trial` is that of the freezing,
    where it was made already. `bounds` hold for a strategy that
    chooses by itself, `loss_aware` is how laasp does, `most_macs` what may remain where a target says so.
    `diary` notes where the strategy stands.
    """

    model: nn.Module
    graph: ChannelGraph
    ratio: float
    rank: Callable[[nn.Module], Ranked]
    after: Callable[[nn.Module], PruningTask]
    rank_by: Callable[[nn.Module, Sequence[str]], Mapping[str, GroupScores]]
    parts: Parts | None = None
    bites: BiteWishes = field(default_factory=BiteWishes)
    bounds: Bounds | None = None
    loss_aware: LossAwareWishes = field(default_factory=LossAwareWishes)
    recalibrate: int = 10
    earlier: nn.Module | None = None
    trial: FreezingTrial | None = None
    diary: Diary = field(default_factory=Diary)
    seed: int = 0
    data: TrainingData | None = None
    settings: FitSettings | None = None
    most_macs: float | None = None
    progress: Progress = silent

    def choose(self, network: nn.Module, share: Share) -> Allocation:
        """The channels that leave by the network's present weights at one share."""
        return self.rank(network)(share)

    def made_of(self) -> Parts:
        """The parts; raises TypeError for a task of a strategy that has none."""
        if self.parts is None:
            raise TypeError("this strategy is not made of parts")
        return self.parts

    def training(self) -> tuple[TrainingData, FitSettings]:
        """The data and settings of a strategy that trains; raises WrongUse when they are missing."""
        if self.data is None or self.settings is None:
            raise WrongUse("this strategy trains: it needs data and a number of epochs")
        return self.data, self.settings


@dataclass(frozen=True, kw_only=True)
class PruningOutcome:
    """A cut network with what proves and explains it.

    `reference` is the network as it was right before the last removal, the one that the cut is compared
    with; a strategy that has proved its cuts itself hands on the worst of its proofs in `proof`, and says by
    `trained_since` that `cut` was trained after its last removal. `trained_after` are the numbers (from 0) of
    the bites after which it trained, `choices` the single choices of a strategy that makes some, as JSON
    values.
    """

    reference: nn.Module
    cut: nn.Module
    allocation: Allocation
    planned: Planned
    history: tuple[EpochRecord, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    proof: Verification | None = None
    trained_since: bool = False
    trained_after: tuple[int, ...] = ()
    choices: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Strategy:
    """A registered strategy.

    `parts` are what it is made of, None for a procedure that is not made of parts. `epochs` are how many it
    trains for by default; 0 for one that trains only if it is asked to. `criterion` is the one that it goes
    by where none is named, `costs` are those that a target may name for it.
    """

    name: str
    function: Callable[[PruningTask], PruningOutcome]
    parts: Parts | None
    epochs: int
    source: str
    caption: str
    criterion: str = "l2"
    costs: tuple[str, ...] = KINDS

    def made_of(self, wishes: PartWishes) -> Parts | None:
        """Its parts with what was asked for in their place; raises WrongUse when it has none to change."""
        if self.parts is not None:
            return wishes.on(self.parts)
        if wishes.any:
            raise WrongUse(
                f"{self.name} is not made of parts that can be changed",
                hints=["prunecli catalog strategies shows the parts of the others"],
            )
        return None


STRATEGIES: Registry[Strategy] = Registry("strategy", package=__package__, group="prunecli.strategies")

StrategyFunction = Callable[[PruningTask], PruningOutcome]


def strategy(
    name: str,
    *,
    source: str,
    parts: Parts | None = None,
    epochs: int = 0,
    criterion: str = "l2",
    costs: tuple[str, ...] = KINDS,
) -> Callable[[StrategyFunction], StrategyFunction]:
    """Register the decorated function as the strategy `name`; its first docstring line is the caption."""

    def register(function: StrategyFunction) -> StrategyFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        STRATEGIES.register(name, Strategy(name, function, parts, epochs, source, caption, criterion, costs))
        return function

    return register
