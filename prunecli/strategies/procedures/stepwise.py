"""Bite by bite: rank, remove, and train where the trigger says so; what is left is ranked anew each time.

Every bite is cut physically, so that what comes after it costs what the smaller network costs. What was cut
since the last training is proved before the next one, and at the end. The best epoch of a training is what
the next bite begins with, with a fresh optimiser.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from prunecli.errors import WrongUse
from prunecli.progress import remark
from prunecli.strategies.bites import Bite, bites_of
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.diary import Standing
from prunecli.strategies.parts import DROP
from prunecli.strategies.procedures.blocks import blocks_of
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.strategies.procedures.stretch import Stretch
from prunecli.strategies.removal import remove_channels

if TYPE_CHECKING:
    from prunecli.allocation.choosing import Allocation
    from prunecli.surgery.plan import Plan
    from prunecli.surgery.verification import Verification
    from prunecli.training.settings import EpochRecord


def bite_by_bite(task: PruningTask) -> PruningOutcome:
    """Carry out the bites of the task's parts; raises WorkFailed for a cut that is not proved."""
    parts = task.made_of()
    if not task.ratio and parts.schedule != "one-shot":
        raise WrongUse("bites are parts of a ratio", hints=["give one beside --layer-ratio: --ratio 0.5"])
    epochs = task.settings.epochs if task.settings is not None else 0
    bites = bites_of(parts, task.ratio, task.bites, epochs=epochs, blocks=blocks_of(task.graph))
    if not bites:
        raise WrongUse("no block of the network can be pruned", hints=["see: prunecli inspect"])
    return _Way(task, bites).walked()


class _Way:
    """The way from the whole network to the cut one."""

    def __init__(self, task: PruningTask, bites: tuple[Bite, ...]) -> None:
        self.task = task
        self.bites = bites
        self.parts = task.made_of()
        self.network = task.model  # as it is now
        self._traced: PruningTask | None = task  # the same task for it, once something asks
        self.since = task  # and for what it was when it had last been trained or proved
        self.recovering = Recovering(task)
        self.plan: Plan | None = None  # all cuts, in the coordinates of the network that the way began with
        self.lately: Plan | None = None  # the cuts since then, in the coordinates of `since`
        self.stretch: Stretch | None = None  # the blocks that are cut until the next training
        self.trained_plan: Plan | None = None  # all cuts up to the last training
        self.outcome: PruningOutcome | None = None
        self.proof: Verification | None = None
        self.protected: dict[str, str] = {}
        self.history: tuple[EpochRecord, ...] = ()
        self.seconds: dict[str, float] = {}
        self.spare = 0  # epochs of bites after which nothing was trained
        self.trained_since = False

    def walked(self) -> PruningOutcome:
        """All bites from where the way begins or is resumed."""
        for number in range(self._resumed(), len(self.bites)):
            bite, last = self.bites[number], number == len(self.bites) - 1
            if len(self.bites) > 1:
                self._remark(f"bite {number + 1} of {len(self.bites)}: {bite.words}")
            cut = self._cut_ahead if bite.block is not None and self.parts.trigger == DROP else self._cut
            if cut(bite, number) or last:
                self._recover(bite, number, last=last)
            elif not self.parts.recovery.epochs_each:
                # Too small a bite for the narrowest group: the next one has its channels and its epochs.
                self.spare += bite.epochs
        self._prove()
        assert self.outcome is not None  # the last bite is always carried out
        planned = self.outcome.planned if self.plan is None else replace(self.outcome.planned, plan=self.plan)
        return replace(
            self.outcome,
            cut=self.network,
            planned=replace(planned, protected=self.protected),
            history=self.history,
            seconds=self.seconds,
            proof=self.proof,
            trained_since=self.trained_since,
            trained_after=tuple(self.recovering.trained_after),
        )

    def _resumed(self) -> int:
        """The number of the first bite that is still to do, with everything as it was before it."""
        standing = self.task.diary.standing
        if standing is None:
            with self._timed("trial"):
                self.recovering.prepare(self.bites[0])
            return 0
        from prunecli.surgery.cutting import carry_out

        network = carry_out(standing.plan, copy.deepcopy(self.task.model))
        network.load_state_dict(standing.weights)
        self.network, self._traced = network, None
        self.plan, self.proof, self.history = standing.plan, standing.proof, standing.history
        self.seconds, self.spare, self.trained_since = dict(standing.seconds), standing.spare, True
        self.recovering.restore(standing.facts)
        return standing.done

    @property
    def now(self) -> PruningTask:
        """The task for the network as it is now, traced anew after a cut."""
        if self._traced is None:
            with self._timed("trace"):
                self._traced = self.task.after(self.network)
        return self._traced

    def _cut(self, bite: Bite, number: int) -> bool:
        """Rank and remove; whether anything left."""
        now = self.now
        with self._timed("score"):
            allocation = now.choose(self.network, bite.share)
        if bite.block is not None:
            allocation = _within(allocation, bite.block.groups)
        found = remove_channels(now, self.network, allocation)
        self._spend(found.seconds)
        self.protected |= found.planned.protected
        plan = found.planned.plan
        if self.lately is None:
            self.since = now
        self.outcome = replace(found, reference=self.since.model)
        if not plan.cuts:
            return False
        self.plan = plan if self.plan is None else self.plan.then(plan)
        self.lately = plan if self.lately is None else self.lately.then(plan)
        self.network, self._traced = found.cut, None
        self.trained_since = False
        return True

    def _cut_ahead(self, bite: Bite, number: int) -> bool:
        """Remove what leaves the next block by the ranking that holds until the next training."""
        assert bite.block is not None
        if self.stretch is None:
            self.since, self.trained_plan = self.now, self.plan
            self.stretch = Stretch(self.now, [each.block for each in self.bites[number:] if each.block])
            self._spend(self.stretch.seconds)
        found = self.stretch.cut(bite.block)
        self._spend(found.seconds)
        self.protected |= found.planned.protected
        self.outcome, plan = found, found.planned.plan
        if plan.cuts == (() if self.lately is None else self.lately.cuts):
            return False
        self.lately = plan
        self.plan = plan if self.trained_plan is None else self.trained_plan.then(plan)
        self.network, self._traced = found.cut, None
        self.trained_since = False
        return True

    def _recover(self, bite: Bite, number: int, *, last: bool) -> None:
        """Train what is left, if that is due after this bite."""
        epochs = bite.epochs + self.spare
        if self.plan is None or (epochs and not self._due()):
            self.spare = 0 if self.parts.recovery.epochs_each else epochs
            epochs = 0
        if not epochs + bite.final:
            return
        self._prove()
        longer = replace(bite, epochs=epochs + bite.final)
        with self._timed("train"):
            found = self.recovering.train(
                self.network, longer, number, plan=self.plan, done=len(self.history)
            )
        self.history, self.spare, self.trained_since = (*self.history, *found), 0, True
        self.stretch, self._traced = None, None
        if not last:
            self._keep(number + 1)

    def _due(self) -> bool:
        """Whether the trigger asks for a training."""
        if self.parts.trigger != DROP:
            return True
        with self._timed("judge"):
            coming = None if self.stretch is None else self.stretch.coming
            fall = self.recovering.fall(self.network, coming=coming)
        due = fall >= self.parts.drop
        self._remark(f"{fall:.2f} points below the dense network: {'training' if due else 'going on'}")
        return due

    def _prove(self) -> None:
        """Prove what was cut since the last training; the worst of the proofs is kept."""
        from prunecli.surgery.coordinates import chosen_channels
        from prunecli.surgery.verification import prove

        if self.lately is None:
            return
        with self._timed("verify"):
            chosen = chosen_channels(self.since.graph, self.lately)
            found = prove(
                self.since.graph,
                self.since.model,
                self.network,
                chosen,
                scalings=self.lately.scalings,
                seed=self.task.seed,
            )
        if self.proof is None or found.max_rel_error > self.proof.max_rel_error:
            self.proof = found
        self.lately = None

    def _keep(self, done: int) -> None:
        """Note where the way stands, and end here when the command was asked to."""
        assert self.plan is not None  # something was cut before it was trained
        self.task.diary.note(
            Standing(
                done=done,
                plan=self.plan,
                weights=self.network.state_dict(),
                proof=self.proof,
                history=self.history,
                seconds=self.seconds,
                spare=self.spare,
                facts=self.recovering.facts(),
            )
        )

    def _spend(self, seconds: Mapping[str, float]) -> None:
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    def _remark(self, line: str) -> None:
        remark(self.task.progress, [line])

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._spend({stage: time.perf_counter() - start})


def _within(allocation: Allocation, groups: frozenset[str]) -> Allocation:
    """The allocation with these groups only."""
    removed = {name: gone for name, gone in allocation.removed.items() if name in groups}
    return replace(allocation, removed=removed)
