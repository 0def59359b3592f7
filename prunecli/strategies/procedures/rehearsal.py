"""Block by block on a few images: how a choice of values would do, at a small part of what it costs.

A rehearsal cuts the same channels as the strategy, ranked once by the network as it is. It looks at the
trigger in a few places along the way, at most `STOPS`, and each stands for the blocks since the one before.
Up to the first training all rehearsals of a network are the same, so that much is done once.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
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
from prunecli.strategies.procedures.sampling import sample
from prunecli.surgery.plan import Plan

if TYPE_CHECKING:
    from torch import nn

STOPS = 8
TRAINING_IMAGES = 256  # at least: two steps of the optimiser
VALIDATION_IMAGES = 500  # at least: one image is a fifth of a point
FEW = 2  # validation images of the trainings, whose accuracy nobody reads


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What a choice of values came to.

    `fall` is in points of the validation images looked at, `seconds` are those that all images and all
    blocks would take, `trainings` of `stops` fired.
    """

    fall: float
    seconds: float
    trainings: int
    stops: int


class Rehearsal:
    """Rehearsals of a task, each with parts of its own, on a random `share` of its images.

    The task's network is not changed, and of its data the training and the validation part are read, as
    everywhere in a strategy.
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
        self.more = (len(data.train) / len(train), len(data.validation) / len(judged))
        self.images = (len(train), len(judged))
        self.plans, self.apart = _plans(task)
        self.trial = freezing_trial(self.task, Bite(ratio=task.ratio, share=1.0, epochs=1))
        self._untrained: dict[int, tuple[float, float]] = {}

    def go(self, parts: Parts, *, enough: Callable[[float], None]) -> Rehearsed:
        """Carry `parts` out; `enough(seconds so far)` may raise to end it."""
        recovering = Recovering(replace(self.task, parts=parts))
        recovering.frozen = self.trial.least_changed(parts.recovery.freeze_share)
        network: nn.Module | None = None
        fall, seconds, fired = 0.0, 0.0, 0
        for stop in range(len(self.plans)):
            if network is None:
                fall, spent = self.untrained(stop)
            else:
                cut_on(network, self.plans[stop - 1], self.plans[stop])
                fall, spent = self._judged(network)
            seconds += spent
            if fall >= parts.drop:
                network = self._cut(stop) if network is None else network
                seconds += self._trained(recovering, network, done=fired)
                fired += 1
                enough(seconds)
                last = stop == len(self.plans) - 1
                fall = self.judging.fall(network) if last else fall
        return Rehearsed(fall=fall, seconds=seconds, trainings=fired, stops=len(self.plans))

    def untrained(self, stop: int) -> tuple[float, float]:
        """(fall in points, seconds of judging) at a stop up to which nothing was trained."""
        if stop not in self._untrained:
            self._untrained[stop] = self._judged(self._cut(stop))
        return self._untrained[stop]

    def every_stop(self, parts: Parts) -> float:
        """Seconds of training at every stop: between those of the first one and those of the last."""
        recovering = Recovering(replace(self.task, parts=parts))
        ends = [self._trained(recovering, self._cut(stop), done=0) for stop in (0, len(self.plans) - 1)]
        return len(self.plans) * sum(ends) / len(ends)

    def _cut(self, stop: int) -> nn.Module:
        from prunecli.surgery.cutting import carry_out

        return carry_out(self.plans[stop], copy.deepcopy(self.task.model))

    def _judged(self, network: nn.Module) -> tuple[float, float]:
        self.judging.know_dense()
        start = time.perf_counter()
        fall = self.judging.fall(network)
        return fall, (time.perf_counter() - start) * self.more[1] * self.apart

    def _trained(self, recovering: Recovering, network: nn.Module, *, done: int) -> float:
        """Train in place; the seconds that all images would take."""
        epochs = recovering.recovery.epochs_each or 1
        start = time.perf_counter()
        recovering.train(network, Bite(ratio=1.0, share=1.0, epochs=epochs), done, plan=None, done=done)
        return (time.perf_counter() - start) * self.more[0] * self.apart


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
