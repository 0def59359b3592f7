"""Block by block on a few images: how a choice of values would do, at a small part of what it costs.

A rehearsal cuts the same channels as the strategy, ranked once by the network as it is. It looks at the
trigger in a few places along the way, at most `STOPS`, and each stands for the blocks since the one before.
Drops are rehearsed together: their ways are one until a fall lies between them. Up to the first training all
rehearsals of a network are the same, so that much is done once.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunecli.progress import silent
from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import PruningTask
from prunecli.strategies.diary import Diary
from prunecli.strategies.parts import Parts
from prunecli.strategies.procedures.blocks import blocks_of
from prunecli.strategies.procedures.foresight import cut_on, planned_once
from prunecli.strategies.procedures.freezing_trial import freezing_trial
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.strategies.procedures.sampling import FEW, sample
from prunecli.surgery.plan import Plan

if TYPE_CHECKING:
    from torch import nn

STOPS = 8
TRAINING_IMAGES = 256  # at least: two steps of the optimiser
VALIDATION_IMAGES = 250  # at least: one image is two fifths of a point

Enough = Callable[[float, float], bool]
"""Fall right after the last training and seconds so far → whether such a way is out of the question."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What a choice of values came to with this `drop`.

    `fall` is in points of the validation images looked at, `seconds` are those that all images and all
    blocks would take, `trainings` of `stops` fired, the final one not counted.
    """

    drop: float
    fall: float
    seconds: float
    trainings: int
    stops: int


@dataclass(frozen=True, kw_only=True)
class _Going:
    """Where a way stands: the network once it was trained, None before.

    `level` is the fall (points) right after the last training, which was at the stop `since`. `seconds` are
    by drop: those that go the same way differ in how often they would train between two stops.
    """

    seconds: Mapping[float, float]
    network: nn.Module | None = None
    fall: float = 0.0
    level: float = 0.0
    since: int = -1
    fired: int = 0

    def longer(self, spent: float) -> Mapping[float, float]:
        """The seconds with so many more."""
        return {drop: seconds + spent for drop, seconds in self.seconds.items()}

    def apart(self, fall: float) -> tuple[Mapping[float, float], Mapping[float, float]]:
        """The seconds of the drops that do not fire at a fall, and of those that do."""
        calm = {drop: spent for drop, spent in self.seconds.items() if drop > fall}
        return calm, {drop: spent for drop, spent in self.seconds.items() if drop <= fall}


class Rehearsal:
    """Rehearsals of a task, each with parts of its own, on a random `share` of its images.

    The task's network is not changed, and of its data the training and the validation part are read, as
    everywhere in a strategy. `trial` is the task's own trial of the freezing, and `most` the seconds that a
    training after every block would take, with nothing frozen and no teacher.
    """

    def __init__(self, task: PruningTask, *, share: float) -> None:
        data, _ = task.training()
        train = sample(data.train, max(round(share * len(data.train)), TRAINING_IMAGES), seed=task.seed)
        count = max(round(share * len(data.validation)), VALIDATION_IMAGES)
        judged = sample(data.validation, count, seed=task.seed)
        few = sample(data.validation, FEW, seed=task.seed)
        own = replace(task, diary=Diary(), progress=silent, earlier=None)
        self.task = replace(own, data=replace(data, train=train, validation=few))
        self.judging = Recovering(replace(own, data=replace(data, train=train, validation=judged)))
        self.judging.drop = 0.0  # what is found holds for the drops of all rehearsals
        self.images = (len(train), len(judged))
        self.plans, self.apart = _plans(task)
        self.trial = freezing_trial(own, Bite(ratio=task.ratio, share=1.0, epochs=1))
        self.most = len(self.plans) * self.apart * len(data.train) / self.trial.images_per_second
        self._all = (len(data.train), len(data.validation))
        self._untrained: dict[int, tuple[float, float]] = {}

    def ways(self, parts: Parts, *, drops: Sequence[float], enough: Enough) -> Iterator[Rehearsed]:
        """Carry `parts` out with each of the drops, the higher ones first.

        A way ends without a word where it has taken `enough`. Of drops that come to the same the lowest is
        the first: it is the one that still acts where the run falls deeper than its rehearsal.
        """
        recovering = Recovering(replace(self.task, parts=parts))
        recovering.frozen = self.trial.least_changed(parts.recovery.freeze_share)
        way = _Way(self, recovering, enough)
        yield from way.on(0, _Going(seconds=dict.fromkeys(drops, 0.0)))

    def untrained(self, stop: int) -> tuple[float, float]:
        """(fall in points, seconds of judging) at a stop up to which nothing was trained."""
        if stop not in self._untrained:
            self._untrained[stop] = self.judged(self.cut(stop))
        return self._untrained[stop]

    def cut(self, stop: int) -> nn.Module:
        """The network as it is at a stop up to which nothing was trained."""
        from prunecli.surgery.cutting import carry_out

        return carry_out(self.plans[stop], copy.deepcopy(self.task.model))

    def judged(self, network: nn.Module) -> tuple[float, float]:
        """(fall in points, seconds that judging takes on all images up to the next stop)."""
        self.judging.know_dense()
        start = time.perf_counter()
        fall = self.judging.fall(network)
        more = self._all[1] / self.images[1]
        return fall, (time.perf_counter() - start) * more * self.apart

    def trained(self, recovering: Recovering, network: nn.Module, *, epochs: int, done: int) -> float:
        """Train in place; the seconds that all images would take."""
        bite = Bite(ratio=1.0, share=1.0, epochs=epochs)
        with _forgetting(network, self._all[0] / self.images[0]):
            found = recovering.train(network, bite, done, plan=None, done=done)
        return sum(self._all[0] / record.images_per_second for record in found)


class _Way:
    """The ways of the same parts with different drops, followed as far as they are one."""

    def __init__(self, rehearsal: Rehearsal, recovering: Recovering, enough: Enough) -> None:
        self.rehearsal = rehearsal
        self.recovering = recovering
        self.enough = enough

    def on(self, stop: int, going: _Going) -> Iterator[Rehearsed]:
        """What all ways from this stop on come to; those that have taken enough are left."""
        going = self._left(going)
        if not going.seconds:
            return
        if stop == len(self.rehearsal.plans):
            yield from self._ended(going)
            return
        if going.network is not None and going.since == stop - 1:
            going = yield from self._ended_early(stop, going)
            if not going.seconds:
                return
        fall, spent = self._looked(stop, going)
        going = replace(going, fall=fall, seconds=going.longer(spent))
        calm, firing = going.apart(fall)
        network = copy.deepcopy(going.network) if calm and firing else going.network
        yield from self.on(stop + 1, replace(going, seconds=calm))
        if firing:
            yield from self.on(stop + 1, self._fired(stop, replace(going, seconds=firing, network=network)))

    def _left(self, going: _Going) -> _Going:
        level = going.level if going.fired else 0.0
        left = {drop: spent for drop, spent in going.seconds.items() if not self.enough(level, spent)}
        return replace(going, seconds=left)

    def _looked(self, stop: int, going: _Going) -> tuple[float, float]:
        if going.network is None:
            return self.rehearsal.untrained(stop)
        plans = self.rehearsal.plans
        cut_on(going.network, plans[stop - 1], plans[stop])
        return self.rehearsal.judged(going.network)

    def _ended_early(self, stop: int, going: _Going) -> Generator[Rehearsed, None, _Going]:
        """Right after a training, what the drops come to that would not fire at the very end; the others.

        Falls grow on the way, so these are taken not to fire before it either.
        """
        rehearsal, last = self.rehearsal, len(self.rehearsal.plans) - 1
        network = copy.deepcopy(going.network)
        assert network is not None  # it was trained
        cut_on(network, rehearsal.plans[stop - 1], rehearsal.plans[last])
        fall, spent = rehearsal.judged(network)
        calm, firing = going.apart(fall)
        ended = replace(going, network=network, fall=fall, seconds=calm)
        yield from self._ended(replace(ended, seconds=ended.longer(spent * (last + 1 - stop))))
        return replace(going, seconds=firing)

    def _fired(self, stop: int, going: _Going) -> _Going:
        """After a training, which stands for those that would fire in the blocks since the last stop.

        A fall that grew evenly from `level` meets the drop again once it has grown from where the training
        leaves it.
        """
        network = self.rehearsal.cut(stop) if going.network is None else going.network
        epochs = self.recovering.recovery.epochs_each or 1
        spent = self.rehearsal.trained(self.recovering, network, epochs=epochs, done=going.fired)
        level, _ = self.rehearsal.judged(network)
        apart = self.rehearsal.apart
        growth = max(0.0, going.fall - going.level) / ((stop - going.since) * apart)
        times = {drop: _times(drop - level, growth, blocks=apart) for drop in going.seconds}
        return _Going(
            seconds={drop: before + spent * times[drop] for drop, before in going.seconds.items()},
            network=network,
            fall=level,
            level=level,
            since=stop,
            fired=going.fired + 1,
        )

    def _ended(self, going: _Going) -> Iterator[Rehearsed]:
        """What the way came to after the final epochs, the lowest drop first; nothing without a drop."""
        if not going.seconds:
            return
        rehearsal, final = self.rehearsal, self.recovering.recovery.final_epochs
        stops, fall, spent = len(rehearsal.plans), going.fall, 0.0
        if final:
            network = going.network or rehearsal.cut(stops - 1)
            spent = rehearsal.trained(self.recovering, network, epochs=final, done=going.fired)
            fall, _ = rehearsal.judged(network)
        for drop, seconds in sorted(going.longer(spent).items()):
            yield Rehearsed(drop=drop, fall=fall, seconds=seconds, trainings=going.fired, stops=stops)


@contextmanager
def _forgetting(network: nn.Module, times: float) -> Iterator[None]:
    """Inside, a step moves the running statistics as far as so many steps do.

    Most of what a cut network gets back it gets by them, and few images have too few steps for it.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    before = {each: each.momentum for each in network.modules() if isinstance(each, _BatchNorm)}
    try:
        for layer, momentum in before.items():
            layer.momentum = None if momentum is None else 1 - (1 - momentum) ** times
        yield
    finally:
        for layer, momentum in before.items():
            layer.momentum = momentum


def _times(room: float, growth: float, *, blocks: float) -> float:
    """How often a fall that grows by `growth` a block takes up the `room` (points) in so many blocks."""
    if room <= growth:
        return blocks
    return max(1.0, blocks * growth / room)


def _plans(task: PruningTask) -> tuple[list[Plan], float]:
    """The plans of all cuts up to each stop, and how many blocks a stop stands for."""
    from prunecli.surgery.planning import plan_part

    removed = task.choose(task.model, 1.0).removed
    blocks = [each for each in blocks_of(task.graph) if each.groups & removed.keys()]
    apart = max(1, -(-len(blocks) // STOPS))
    ends = sorted({*range(apart, len(blocks), apart), len(blocks)} - {0})
    whole = planned_once(task.graph, removed)
    plans = []
    for end in ends:
        groups = {name for block in blocks[:end] for name in block.groups}
        part = {name: gone for name, gone in removed.items() if name in groups}
        plans.append(whole.plan if end == len(blocks) else plan_part(task.graph, whole, part).plan)
    return plans, len(blocks) / max(1, len(plans))
