"""Step by step the channels whose silence costs the least loss; cut, proved and trained now and then.

In every step each criterion of the pool proposes channels of each group, and the proposal with the lowest
loss is taken. Between two trainings chosen channels are silent in the network at hand; rankings are made
anew for what a training has left.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation
from prunecli.data.splitting import decoded
from prunecli.errors import GateNotMet, WrongUse
from prunecli.graph.costs_left import macs_left
from prunecli.processes import current
from prunecli.progress import remark
from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.diary import Standing
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.parts import REMOVED, Parts
from prunecli.strategies.procedures.proposals import Limits, Proposer
from prunecli.strategies.procedures.racing import best_of
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.strategies.procedures.silencing import (
    Bench,
    Contender,
    Images,
    Removed,
    Way,
    at_work,
    find_ways,
    largest_batch,
)
from prunecli.strategies.removal import remove_channels
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import Planned, make_plan
from prunecli.surgery.verification import prove
from prunecli.training.device import memory_in_words, pick_device

if TYPE_CHECKING:
    from prunecli.surgery.plan import Plan
    from prunecli.surgery.verification import Verification
    from prunecli.training.settings import EpochRecord

SHOWN_STEPS = 4


def prune_by_loss(task: PruningTask, wishes: LossAwareWishes, bounds: Bounds | None = None) -> PruningOutcome:
    """Remove as many MACs as the task's ratio would everywhere, from where they cost the least loss.

    Raises WrongUse when the layers may not lose as much, WorkFailed for a cut that is not proved.
    """
    return _Walk(task, wishes, bounds or Bounds()).walked()


class _Walk:
    """The way from the whole network to the cut and trained one."""

    def __init__(self, task: PruningTask, wishes: LossAwareWishes, bounds: Bounds) -> None:
        self.task, self.wishes = task, wishes
        data, self.settings = task.training()
        self.now = task
        self.whole = macs_left(task.graph, {})
        self.macs = self.whole
        self.history: tuple[EpochRecord, ...] = ()
        self.seconds: dict[str, float] = {}
        self.choices: list[dict[str, Any]] = []
        self.last: dict[tuple[str, str], float] = {}  # losses of the step before, by group and criterion
        self.plan: Plan | None = None
        self.proof: Verification | None = None
        self.outcome: PruningOutcome | None = None
        with self._timed("score"):
            uniform = task.choose(task.model, 1.0)
        self.uniform = replace(uniform, rules={})
        planned = make_plan(task.graph, uniform.removed)
        uniform_macs = macs_left(task.graph, planned.plan.removed)
        self.goal = uniform_macs if task.most_macs is None else int(task.most_macs)
        self.protected = {**uniform.protected, **planned.protected}
        self.limits = Limits(
            widths={group.name: group.channels for group in task.graph.prunable},
            ratio=wishes.max_layer_ratio,
            bounds=bounds,
        )
        order = np.random.RandomState(task.seed % 2**32).permutation(len(data.train))[: wishes.images]
        self.images = Images(
            decoded(data.train, torch.from_numpy(order)),
            self.settings.mean or data.mean,
            self.settings.std or data.std,
        )
        self.recovering = Recovering(
            replace(task, parts=task.parts or Parts(schedule="one-shot", hardness=REMOVED))
        )

    def walked(self) -> PruningOutcome:
        """Every step, cut and training from where the way begins or is resumed."""
        if self.goal == self.whole:
            return remove_channels(self.task, self.task.model, replace(self.uniform, removed={}))
        with self._timed("score"):
            halves = self.limits.halves(self.task.graph, left_out=self.protected)
            self.ways, unfollowed = find_ways(self.task.model, self.task.graph, halves, self.images)
        self.protected |= unfollowed
        self._check_reach()
        recoveries, each = self._recoveries()
        first = self._resumed()
        for number in range(first, recoveries + 1):
            last = number == recoveries
            part = (self.whole - self.goal) * (number + 1) // (recoveries + 1)
            begun = len(self.choices)
            while self.macs > (self.goal if last else self.whole - part):
                self._cut(self._silenced(self.goal if last else self.whole - part))
            self._tell(number, recoveries, self.choices[begun:])
            self._train(number, self.settings.epochs - recoveries * each if last else each)
            if not last:
                self._keep(number + 1)
        return self._found()

    def _check_reach(self) -> None:
        """Raise WrongUse when the MACs cannot leave even if every group loses all that it may."""
        graph = self.task.graph
        most: dict[str, tuple[int, ...]] = {}
        for each in self.limits.candidates(graph, left_out=self.protected):
            most |= each.leaving(self.limits.levels(graph, each)[-1])
        least = macs_left(graph, most)
        if least > self.goal:
            raise WrongUse(
                f"{self._gone(self.goal):.1f} % of the MACs are asked for, and {self._gone(least):.1f} % can "
                f"leave when no group loses more than {self.wishes.max_layer_ratio:.0%}",
                hints=["ask for a lower --ratio, or let more go: --max-layer-ratio 0.9"],
            )

    def _recoveries(self) -> tuple[int, int]:
        """How often the network is trained before the end, and for how many epochs each time.

        One training every `recover_macs`, all of equal length, the one at the end included, which has what
        does not divide as well. Where epochs are few, there are fewer trainings, at most half of the epochs:
        none goes without an epoch, and the other half is for the end.
        """
        parts = -(-(self.whole - self.goal) // max(1, round(self.wishes.recover_macs * self.whole)))
        wanted, epochs = parts - 1, self.settings.epochs
        count = min(wanted, epochs // 2)
        if count < wanted:
            spaced = (self.whole - self.goal) / (count + 1) / self.whole
            few = f"{epochs} epochs are few: the network is trained every {spaced:.1%} of the MACs"
            remark(self.task.progress, [f"{few}, not every {self.wishes.recover_macs:.1%}"])
        return count, epochs // (count + 1)

    def _silenced(self, until: int) -> Removed:
        """The channels chosen until so many MACs are left, or until one cannot be measured silent."""
        now = self.now
        with self._timed("score"):
            scores = now.rank_by(now.model, self.wishes.pool)  # holds until the next training
        proposer = Proposer(
            now.graph,
            scores,
            left_out=self.protected,
            limits=self.limits,
            step=self.wishes.step_macs * self.whole,
            goal=self.goal,
        )
        place = current().place(pick_device(self.settings.device))
        with (
            self._timed("score"),
            memory_in_words(largest_batch(place)),
            at_work(now.model, place, self.images),
            ExitStack() as silent,
        ):
            bench = Bench(now.model, now.graph, self.images)
            while self.macs > until:
                taken = self._step(bench, proposer)
                silent.enter_context(bench.leaving(taken))
                self.macs = macs_left(now.graph, bench.gone)
                self.choices[-1]["macs"] = self.macs
                self.task.progress("choose", self.whole - self.macs, self.whole - self.goal, {})
                if taken.way is Way.CUT:
                    break  # silent it would be measured wrong from now on
            return bench.gone

    def _step(self, bench: Bench, proposer: Proposer) -> Contender:
        """The proposal with the lowest loss."""
        proposals = proposer.proposals(bench.gone)
        if not proposals:
            raise GateNotMet(
                f"nothing more may leave: {self._gone(self.macs):.1f} % of the MACs are gone",
                hints=["let more go: --max-layer-ratio 0.9, or fewer protected layers"],
            )
        contenders = [bench.contender(p.removed, self.ways[p.group]) for p in proposals]
        expected = [min(self.last.get((p.group, name), math.inf) for name in p.criteria) for p in proposals]
        found = best_of(bench, contenders, exact=self.wishes.exact, expected=expected, seed=self.task.seed)
        self.last = {
            (each.group, name): loss
            for each, loss in zip(proposals, found.losses, strict=True)
            for name in each.criteria
        }
        taken = proposals[found.number]
        self.choices.append(
            {
                "step": len(self.choices) + 1,
                "group": taken.group,
                "criterion": taken.criteria[0],
                "alike": list(taken.criteria[1:]),
                "channels": len(taken.channels),
                "linked": taken.linked(),
                "loss": found.losses[found.number] if found.images else None,
                "images": found.images,
            }
        )
        return contenders[found.number]

    def _cut(self, gone: Removed) -> None:
        """Remove what is silent, and prove it."""
        now = self.now
        found = remove_channels(now, now.model, Allocation(dict(gone), self.uniform.protected, {}))
        for stage, spent in found.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
        self.protected |= found.planned.protected  # not proposed again
        removed = found.planned.plan.removed
        if removed:
            with self._timed("verify"):
                scalings = found.planned.plan.scalings
                proof = prove(
                    now.graph, found.reference, found.cut, removed, scalings=scalings, seed=self.task.seed
                )
            if self.proof is None or proof.max_rel_error > self.proof.max_rel_error:
                self.proof = proof
            plan = found.planned.plan
            self.plan = plan if self.plan is None else self.plan.then(plan)
            with self._timed("trace"):
                self.now = now.after(found.cut)
        self.outcome = found
        self.macs = macs_left(self.now.graph, {})

    def _train(self, number: int, epochs: int) -> None:
        """Train what is left, in place."""
        bite = Bite(ratio=self.task.ratio, share=1.0, epochs=epochs)
        network = self.now.model
        with self._timed("train"):
            found = self.recovering.train(network, bite, number, plan=self.plan, done=len(self.history))
        self.history = (*self.history, *found)

    def _resumed(self) -> int:
        """The number of the first training that is still to do, with everything as it was before it."""
        standing = self.task.diary.standing
        if standing is None:
            return 0
        network = carry_out(standing.plan, copy.deepcopy(self.task.model))
        network.load_state_dict(standing.weights)
        with self._timed("trace"):
            self.now = self.task.after(network)
        self.outcome = PruningOutcome(
            reference=network, cut=network, allocation=self.uniform, planned=Planned(standing.plan, {})
        )
        self.macs = macs_left(self.now.graph, {})
        self.plan, self.proof, self.history = standing.plan, standing.proof, standing.history
        self.seconds = dict(standing.seconds)
        self.choices = [dict(each) for each in standing.facts["choices"]]
        self.protected |= standing.facts["protected"]
        return standing.done

    def _keep(self, done: int) -> None:
        """Note where the way stands."""
        if self.plan is None:
            return
        self.task.diary.note(
            Standing(
                done=done,
                plan=self.plan,
                weights=self.now.model.state_dict(),
                proof=self.proof,
                history=self.history,
                seconds=self.seconds,
                facts={"choices": self.choices, "protected": self.protected},
            )
        )

    def _found(self) -> PruningOutcome:
        """The outcome of the whole way."""
        assert self.outcome is not None  # the goal is below the whole, so something was cut
        assert self.plan is not None
        planned = replace(self.outcome.planned, plan=self.plan, protected=self.protected)
        return replace(
            self.outcome,
            cut=self.now.model,
            planned=planned,
            history=self.history,
            seconds=self.seconds,
            proof=self.proof,
            trained_since=True,
            choices=tuple(self.choices),
        )

    def _gone(self, macs: int) -> float:
        """How many percent of the MACs are gone when `macs` are left."""
        return 100 * (1 - macs / self.whole)

    def _tell(self, number: int, recoveries: int, choices: Sequence[Mapping[str, Any]]) -> None:
        """One line for one cut."""
        taken = [f"{each['channels']} of {each['group']} by {each['criterion']}" for each in choices]
        more = [f"{len(taken) - SHOWN_STEPS} more"] if len(taken) > SHOWN_STEPS else []
        gone = f"{self._gone(self.macs):.1f} of {self._gone(self.goal):.1f} % of the MACs are gone"
        line = (
            f"recovery {number + 1} of {recoveries + 1}: {gone}; {', '.join([*taken[:SHOWN_STEPS], *more])}"
        )
        remark(self.task.progress, [line])

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
