"""Sweep: many trials of criterion, strategy, ratio and scope, kept in a study that many processes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prunecli.checkpoints import refuse_twice
from prunecli.cost.macs import measure
from prunecli.errors import GateNotMet, Interrupted, WrongUse
from prunecli.processes import launched
from prunecli.progress import Progress, remark, silent
from prunecli.reports.front import front_picture
from prunecli.search import needed
from prunecli.search.samplers import check_sampler
from prunecli.search.space import Value, check_space
from prunecli.search.stopping import THRESHOLD
from prunecli.search.storages import MEMORY, check_storage, without_password
from prunecli.search.study import Study, open_study
from prunecli.search.trials import Record, TakenOver
from prunecli.training.evaluation import evaluate
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.prune_result import PruneResult
from prunecli.workflows.saving import destination
from prunecli.workflows.sweep_origin import fingerprint, study_name, study_origin
from prunecli.workflows.sweep_request import EPOCHS, Budget, StudyWish, SweepSpace
from prunecli.workflows.sweep_result import SweepResult, TrialRow, best_of
from prunecli.workflows.sweep_trials import Rules, Run, RunTrial, Trialling

CommandOf = Callable[[Mapping[str, Value]], str]
"""From a trial's values to the command line that makes its first seed's network."""

_SPACE, _BUDGET, _STUDY = SweepSpace(), Budget(), StudyWish()


def sweep(
    opening: Opening,
    *,
    space: SweepSpace = _SPACE,
    budget: Budget = _BUDGET,
    study: StudyWish = _STUDY,
    pruning: Mapping[str, Any] | None = None,
    data: str | None = None,
    skip_bad_images: bool = False,
    pick: int | None = None,
    output: str | None = None,
    force: bool = False,
    keep: Keepsakes | None = None,
    command_of: CommandOf = lambda values: "",
    run_trial: RunTrial | None = None,
    progress: Progress = silent,
) -> SweepResult:
    """Try points of `space`, each as `prune` with the further arguments `pruning`, and find their front.

    A trial is judged by the validation part. Only the network that is written to `output` is measured on the
    test part: that of trial `pick`, else the cheapest within the budget's `max_drop`, else the most accurate
    one; it is made again with the trial's first seed. `run_trial` stands in for `prune`.

    Raises WrongUse for a space, a sampler, a storage or an output that cannot be and for a study of something
    else, InputRefused for what does not fit, Interrupted when the command line was asked to stop.
    """
    needed()
    check_space(space.space())
    check_sampler(study.sampler_for(space))
    check_storage(study.storage)
    if launched()[1] > 1:
        raise WrongUse(
            "a sweep is shared by way of its storage, not by a launcher",
            hints=["start the same command once on each machine or device, with the same --storage"],
        )
    kept_beside = keep or Keepsakes()
    refuse_twice((output, study.storage, *kept_beside.paths))
    with destination(opening, output, force=force):
        pass  # prune holds it when it is written
    with destination(opening, *kept_beside.paths, force=force):
        work = _Sweeping(
            opening=opening,
            space=space,
            budget=budget,
            wish=study,
            pruning={"epochs": EPOCHS, **(pruning or {})},
            data=data,
            skip_bad_images=skip_bad_images,
            run_trial=run_trial,
            # A password is not to be shown, and without it the line is of no use.
            command=kept_beside.command if without_password(study.storage) == study.storage else "",
            progress=progress,
        )
        work.go(pick)
        found = work.result(command_of, pick=pick, output=output, force=force)
        document = found.document()
        kept_beside.write("sweep", {**document, "notes": list(found.notes)}, plot=front_picture)
        return found


@dataclass(kw_only=True)
class _Sweeping:
    """The steps of one process of a sweep, and what they hand on."""

    opening: Opening
    space: SweepSpace
    budget: Budget
    wish: StudyWish
    pruning: Mapping[str, Any]
    data: str | None
    skip_bad_images: bool
    run_trial: RunTrial | None
    command: str
    progress: Progress
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def sampler(self) -> str:
        """What proposes the trials."""
        return self.wish.sampler_for(self.space)

    @property
    def limit(self) -> int:
        """Trials in all: no point is tried twice."""
        return self.budget.limit(self.space, sampler=self.sampler)

    @cached_property
    def opened(self) -> Opened:
        """The checkpoint, opened once."""
        return open_checkpoint(self.opening, progress=self.progress)

    @cached_property
    def images(self) -> Images:
        """The images, opened and divided once, by the first seed."""
        return open_images(
            self.opened,
            self.data,
            seed=self.budget.seed,
            skip_bad_images=self.skip_bad_images,
            progress=self.progress,
        )

    @cached_property
    def dense(self) -> dict[str, Any]:
        """Figures of the network before pruning, accuracy on the validation part."""
        cost = measure(self.opened.model, self.opened.architecture.input_shape)
        found = evaluate(
            self.opened.model,
            self.images.data.validation,
            mean=self.images.mean,
            std=self.images.std,
            device=self.opening.device,
        )
        return {"accuracy": found.accuracy, "macs": cost.macs, "params": cost.params}

    @cached_property
    def study(self) -> Study:
        """The study, this command's own unless it was named."""
        origin = study_origin(self.opened, self.images, self.space, self.budget, self.pruning)
        return open_study(
            self.space.space(),
            name=self.wish.name or study_name(origin),
            storage=self.wish.storage,
            sampler=self.sampler,
            seed=self.budget.seed,
            origin=origin,
            lost_after=self.wish.lost_after,
        )

    def rules(self) -> Rules:
        """What stops a trial early."""
        labels = self.images.data.validation.labels
        most = int(labels.bincount().max())
        return Rules(
            seeds=self.budget.seeds,
            dense=self.dense["accuracy"],
            chance=100 * most / len(labels),
            max_drop=self.budget.max_drop,
            threshold_from=self.budget.threshold_from,
            layers=self.budget.stop_by,
        )

    def go(self, pick: int | None) -> None:
        """Work trials off until there are enough, the time is up, or somebody stops it."""
        _ = self.images
        study = self.study
        self._tell_beginning(study)
        if pick is not None:
            self._check_pick(pick)
        trialling = Trialling(
            study=study,
            rules=self.rules(),
            run=self.run_trial or self.pruned,
            first_seed=self.budget.seed,
            progress=self.progress,
            enough=self.time_is_up,
        )
        try:
            self._work_off(trialling)
        except (Interrupted, KeyboardInterrupt) as stopped:
            raise self._interrupted(stopped) from stopped

    def _work_off(self, trialling: Trialling) -> None:
        total = self.limit
        self.progress("trials", self._ended(), total, {})
        while not self.time_is_up() and (taken := self.study.take(total)) is not None:
            number = taken.number
            try:
                went_on = trialling.work(taken)
            except TakenOver:
                remark(self.progress, [f"trial {number} was taken over by another process"])
                continue
            if not went_on:
                break
            ended = next(each for each in self.study.records() if each.number == number)
            remark(self.progress, [self._line(ended)])
            self.progress("trials", self._ended(), total, {})

    def time_is_up(self) -> bool:
        """Whether no further run may begin."""
        return self.budget.timeout is not None and time.monotonic() - self.began >= self.budget.timeout

    def _ended(self) -> int:
        return sum(each.ended for each in self.study.records())

    def _tell_beginning(self, study: Study) -> None:
        """Say where the trials are kept, how many there are, and what cannot work."""
        done = self._ended()
        place = "kept nowhere" if self.wish.storage == MEMORY else f"study {study.name} in {study.label}"
        self.notes.append(f"{self.limit} trials by {self.sampler}, {done} of them done: {place}")
        budget = self.budget
        looked = budget.max_drop is not None and THRESHOLD in budget.stop_by
        if looked and budget.seeds <= budget.threshold_from:
            self.notes.append(
                f"the threshold stops nothing: it looks from seed {budget.threshold_from} on, and there are "
                f"{budget.seeds} (--threshold-from, --seeds)"
            )
        remark(self.progress, self.notes)

    def _check_pick(self, pick: int) -> None:
        done = [each.number for each in self.study.records() if each.figures is not None]
        if pick not in done:
            listed = ", ".join(map(str, done)) or "none"
            raise WrongUse(f"trial {pick} is not complete", hints=[f"complete: {listed}"])

    def _line(self, record: Record) -> str:
        """One trial in a line."""
        row = TrialRow.of(record, "")
        said = " ".join(str(value) for value in row.values.values())
        if row.stopped is not None:
            return f"trial {row.number}: {said}: stopped ({row.stopped['layer']}): {row.stopped['reason']}"
        accuracy = "-" if row.accuracy is None else f"{row.accuracy:.2f} %"
        left = "-" if row.macs is None else f"{100 * row.macs / self.dense['macs']:.1f} %"
        return f"trial {row.number}: {said}: {accuracy} with {left} of the MACs, {row.seconds:.1f} s"

    def _interrupted(self, stopped: BaseException) -> Interrupted:
        """The same stop, in the words of a sweep."""
        done, total = self._ended(), self.limit
        number = stopped.signal if isinstance(stopped, Interrupted) else 2
        kept = self.wish.storage != MEMORY
        again = f"to go on: {self.command}" if self.command else "the same command goes on"
        hints = [again] if kept else ["nothing was kept: --storage FILE keeps it"]
        return Interrupted(f"stopped with {done} of {total} trials done", hints=hints, signal=number)

    def pruned(self, values: Mapping[str, Value], seed: int, progress: Progress) -> Run:
        """One seed of a trial, judged by the validation part."""
        found = self._prune(values, seed=seed, judge="validation", progress=progress)
        if found.gate is not None:
            raise found.gate  # a target that cannot be met
        accuracy = (found.accuracy or {})["after"]
        return Run(
            accuracy=float(accuracy or 0.0),
            macs=int(found.after["macs"]),
            params=int(found.after["params"]),
            epochs=len(found.history),
            channels=fingerprint(found.plan),
        )

    def _prune(self, values: Mapping[str, Value], **further: Any) -> PruneResult:
        return prune(
            self.opening,
            ratio=float(values["ratio"]) if "ratio" in values else None,
            target=str(values["target"]) if "target" in values else None,
            criterion=str(values["criterion"]),
            strategy=str(values["strategy"]),
            scope=str(values["scope"]),
            data=self.data,
            skip_bad_images=self.skip_bad_images,
            evaluate=True,
            opened=self.opened,
            images=self.images,
            **self.pruning,
            **further,
        )

    def result(
        self, command_of: CommandOf, *, pick: int | None, output: str | None, force: bool
    ) -> SweepResult:
        """Everything that is to say, with the network of one trial made again where it is to be written."""
        records = self.study.records()
        rows = [TrialRow.of(each, command_of(each.values)) for each in records if each.values]
        best = best_of(rows, dense=self.dense["accuracy"], max_drop=self.budget.max_drop)
        number = best.number if pick is None and best is not None else pick
        made: PruneResult | None = None
        if output is not None and number is not None:
            values = next(row.values for row in rows if row.number == number)
            made = self._prune(
                values,
                seed=self.budget.seed,
                judge="test",
                output=output,
                force=force,
                progress=self.progress,
            )
        return SweepResult(
            checkpoint=self.opened.summary(),
            data=self.images.data.name,
            asked=self._asked(),
            dense=self.dense,
            trials=rows,
            study={"name": self.study.name, "storage": self.study.label, "sampler": self.sampler},
            max_drop=self.budget.max_drop,
            chosen=None if made is None else _chosen(made, number),
            output=None if made is None else made.output,
            notes=(*self.opened.notes, *self.images.notes, *self.notes),
            gate=self._gate(rows, best),
        )

    def _asked(self) -> dict[str, Any]:
        return {
            "space": self.space.document(),
            "limit": self.limit,
            "seeds": self.budget.seeds,
            "seed": self.budget.seed,
            "epochs": self.pruning["epochs"],
            "max_drop": self.budget.max_drop,
            "stop_by": list(self.budget.stop_by),
        }

    def _gate(self, rows: Sequence[TrialRow], best: TrialRow | None) -> GateNotMet | None:
        """The gate that was missed, once all trials have ended."""
        if best is not None or self._ended() < self.limit:
            return None
        if any(row.complete for row in rows):
            allowed = self.budget.max_drop or 0.0
            return GateNotMet(f"every trial loses more than the {allowed:g} points allowed")
        reasons = [str(row.failed or (row.stopped or {}).get("reason")) for row in rows]
        return GateNotMet("no trial came to its end", hints=reasons[:1])


def _chosen(made: PruneResult, number: int | None) -> dict[str, Any]:
    accuracy = made.accuracy or {}
    return {
        "number": number,
        "accuracy": {"before": accuracy.get("before"), "test": accuracy.get("after")},
        "macs": made.after["macs"],
        "params": made.after["params"],
    }
