"""What a strategy is given and gives back, and how one joins.

A strategy is a function from a task to an outcome with a decorator, in a file of this room or in a package
that names a module under the entry-point group `prunecli.strategies`:

    @strategy("one-shot", trains=False, source="...")
    def one_shot(task: PruningTask) -> PruningOutcome:
        '''Caption for the catalog.'''
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunecli.errors import WrongUse
from prunecli.progress import Progress, silent
from prunecli.registry import Registry
from prunecli.strategies.bites import BiteWishes, Share

if TYPE_CHECKING:
    from torch import nn

    from prunecli.allocation.choosing import Allocation
    from prunecli.data.splits import TrainingData
    from prunecli.graph.channel_graph import ChannelGraph
    from prunecli.surgery.planning import Planned
    from prunecli.surgery.verification import Verification
    from prunecli.training.settings import EpochRecord, FitSettings


@dataclass(frozen=True, kw_only=True)
class PruningTask:
    """What a strategy works on.

    `model` is the network with its weights, which the strategy may train in place. `rank` ranks the channels
    by a network's present weights, once; what it gives says which leave when a share (0 to 1) of what is
    asked for does. `after` is the same task for what a cut has left of the network: what has left before
    counts then. `data` and `settings` are there when the strategy trains. `bites` say how strategies that
    go in steps divide the way to `ratio`, and `recalibrate` on how many batches they measure the batch norms
    of a cut network again.
    """

    model: nn.Module
    graph: ChannelGraph
    ratio: float
    rank: Callable[[nn.Module], Callable[[Share], Allocation]]
    after: Callable[[nn.Module], PruningTask]
    bites: BiteWishes = field(default_factory=BiteWishes)
    recalibrate: int = 10
    seed: int = 0
    data: TrainingData | None = None
    settings: FitSettings | None = None
    progress: Progress = silent

    def choose(self, network: nn.Module, share: Share) -> Allocation:
        """The channels that leave by the network's present weights at one share."""
        return self.rank(network)(share)

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
    `trained_since` that `cut` was trained after its last removal.
    """

    reference: nn.Module
    cut: nn.Module
    allocation: Allocation
    planned: Planned
    history: tuple[EpochRecord, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    proof: Verification | None = None
    trained_since: bool = False


@dataclass(frozen=True)
class Strategy:
    """A registered strategy; `trains` says whether it needs data, `epochs` how many it takes by default."""

    name: str
    function: Callable[[PruningTask], PruningOutcome]
    trains: bool
    epochs: int
    source: str
    caption: str


STRATEGIES: Registry[Strategy] = Registry("strategy", package=__package__, group="prunecli.strategies")

StrategyFunction = Callable[[PruningTask], PruningOutcome]


def strategy(
    name: str, *, trains: bool, source: str, epochs: int = 0
) -> Callable[[StrategyFunction], StrategyFunction]:
    """Register the decorated function as the strategy `name`; its first docstring line is the caption."""

    def register(function: StrategyFunction) -> StrategyFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        STRATEGIES.register(name, Strategy(name, function, trains, epochs, source, caption))
        return function

    return register
