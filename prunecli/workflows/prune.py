"""Prune a checkpoint: choose channels, remove them by a strategy, prove the result, write it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation
from prunecli.errors import GateNotMet, WrongUse
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.progress import Progress, remark, silent
from prunecli.scoring.filter_scores import FilterScores
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.diary import Diary
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.parts import PartWishes
from prunecli.surgery.planning import follow_plan
from prunecli.surgery.scattering import drop_whole
from prunecli.surgery.verification import Verification
from prunecli.surgery.verification import prove as prove_cut
from prunecli.training.settings import FitSettings
from prunecli.workflows.calibrating import Scorer, tell_calibration
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import Images
from prunecli.workflows.opening import Opened, Opening, open_checkpoint, open_earlier
from prunecli.workflows.plan_files import read_plan, write_plan
from prunecli.workflows.procedure import Procedure
from prunecli.workflows.prune_judging import Judge
from prunecli.workflows.prune_request import PruneRequest
from prunecli.workflows.prune_result import PruneResult, costs, layer_rows, protected_rows, refuse_nothing
from prunecli.workflows.prune_tuning import TuningRequest, TuningResult, chosen_before, tune, with_values
from prunecli.workflows.ranking import Ranker
from prunecli.workflows.run_keeping import run_origin
from prunecli.workflows.saved_scores import fitting_scores, read_scores, refuse_other_data
from prunecli.workflows.saving import destination, save, whole_plan
from prunecli.workflows.scattered import with_scatters

_TRAINING, _BITES, _PARTS, _LOSS_AWARE = FitSettings(), BiteWishes(), PartWishes(), LossAwareWishes()


def prune(
    opening: Opening,
    *,
    ratio: float | None = None,
    criterion: str | None = None,
    strategy: str = "one-shot",
    scope: str = "local",
    residual: str = "coupled",
    round_to: int = 1,
    min_channels: int = 1,
    protect: Sequence[str] = (),
    layer_ratio: Mapping[str, float] | None = None,
    seed: int = 0,
    data: str | None = None,
    evaluate: bool = False,
    judge: str = "test",
    epochs: int | None = None,
    training: FitSettings = _TRAINING,
    batches: int = 8,
    skip_bad_images: bool = False,
    recalibrate: int | None = None,
    bites: BiteWishes = _BITES,
    parts: PartWishes = _PARTS,
    loss_aware: LossAwareWishes = _LOSS_AWARE,
    tuning: TuningRequest | None = None,
    rewind: str | None = None,
    scores: str | None = None,
    max_drop: float | None = None,
    plan: str | None = None,
    plan_out: str | None = None,
    checkpoint_every: int | None = None,
    checkpoint_dir: str | None = None,
    resume: str | None = None,
    stream: bool | None = None,
    dry_run: bool = False,
    output: str | None = None,
    force: bool = False,
    opened: Opened | None = None,
    images: Images | None = None,
    progress: Progress = silent,
) -> PruneResult:
    """Prune a checkpoint at `ratio` (fraction removed), or as the saved `plan` says.

    The arguments are the fields of `PruneRequest`, which says what each asks for. Nothing is written unless
    the cut network equals the masked original. Raises WrongUse, InputRefused for what does not fit,
    GateNotMet when nothing can be pruned, WorkFailed without a proof, Interrupted when the command line was
    asked to stop.
    """
    return _carried_out(PruneRequest(**locals()))


def _carried_out(asked: PruneRequest) -> PruneResult:
    """The story from the checkpoint to the result."""
    keeping, force, progress = asked.keeping, asked.force, asked.progress
    with ExitStack() as held:
        held.enter_context(destination(asked.opening, asked.output, asked.plan_out, force=force))
        if asked.is_streamed:
            from prunecli.workflows.streamed_prune import prune_streamed

            return prune_streamed(asked)
        opened = asked.opened or open_checkpoint(asked.opening, progress=progress)
        run = Pruning(opened=opened, images=asked.images, **steps_of(asked))
        run.take_scores(asked.scores)
        run.read_images(wanted=asked.evaluate or asked.max_drop is not None)
        run.take_earlier(asked.rewind)
        run.tune(asked.tuning, resume=asked.resume)
        kept = held.enter_context(
            keeping.open_diary(run.origin, trains=run.procedure.trains, force=force, progress=progress)
        )
        outcome = run.cut(kept)
        proof = run.prove(outcome)
        accuracy, gate = run.judge(outcome, part=asked.judge, max_drop=asked.max_drop)
        write_plan(outcome.planned.plan, asked.plan_out, force=force)
        written = run.write(outcome, asked.output, force=force)
        kept.close()
        return run.result(outcome, verification=proof, accuracy=accuracy, gate=gate, output=written)


def steps_of(asked: PruneRequest) -> dict[str, Any]:
    """What a request says of the steps of a pruning, wherever the network lies."""
    return {
        "opening": asked.opening,
        "asked": asked.shown,
        "bounds": asked.bounds,
        "procedure": asked.procedure,
        "recalibrate": asked.recalibration,
        "calibration": asked.calibration,
        "loss_aware": asked.loss_aware,
        "plan": asked.plan,
        "dry_run": asked.dry_run,
        "progress": asked.progress,
    }


@dataclass(kw_only=True)
class Pruning:
    """The steps of one pruning, and what they hand on."""

    opening: Opening
    opened: Opened
    asked: Mapping[str, Any]
    bounds: Bounds
    procedure: Procedure
    recalibrate: int
    calibration: Calibration
    loss_aware: LossAwareWishes
    plan: str | None
    dry_run: bool
    progress: Progress
    images: Images | None = None
    saved: FilterScores | None = None
    earlier: nn.Module | None = None
    tuned: TuningResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    graph: ChannelGraph = field(init=False)
    scorer: Scorer = field(init=False)

    def __post_init__(self) -> None:
        if self.asked["ratio"] is None and self.plan is None and not self.bounds.layer_ratio:
            raise WrongUse("prune needs to know how much to remove", hints=["for example: --ratio 0.5"])
        self.procedure.check()
        start = time.perf_counter()
        self.opened = with_scatters(self.opened, plan=self.plan, residual=self.bounds.residual)
        self.graph = build_graph(self.opened.model, self.opened.architecture.input_shape)
        self.seconds["trace"] = time.perf_counter() - start
        self.notes.extend(self.opened.notes)
        longer = self.procedure.longer_than_asked(self.graph)
        if longer is not None:
            self.notes.append(longer)
            remark(self.progress, [longer])
        self.scorer = Scorer(
            opening=self.opening,
            opened=self.opened,
            graph=self.graph,
            criteria=(self.asked["criterion"],),
            calibration=self.calibration,
            seed=self.asked["seed"],
            images=self.images,
            progress=self.progress,
        )

    def read_images(self, *, wanted: bool) -> None:
        """Open the data, for training or for the accuracy at the end if that is `wanted`."""
        self.images = None
        if self.procedure.trains or (wanted and not self.dry_run):
            self.images = self.scorer.at_hand()

    def take_earlier(self, path: str | None) -> None:
        """Open the checkpoint whose weights come back before each training."""
        if path is not None:
            self.earlier = open_earlier(self.opening, path, self.opened, progress=self.progress)

    def tune(self, request: TuningRequest | None, *, resume: str | None) -> None:
        """Put the values that rehearsals choose in the place of the parts' own."""
        if request is None:
            return
        whole = self.task(copy.deepcopy(self.opened.model), self.graph, self.scorer, Diary())
        self.tuned = chosen_before(resume) or tune(whole, request, self.procedure.wishes, self.progress)
        self.seconds["tune"] = self.tuned.seconds
        wishes = with_values(self.procedure.wishes, self.tuned.chosen)
        self.procedure = replace(self.procedure, wishes=wishes)

    def origin(self) -> dict[str, Any]:
        """What makes this run this run and no other, for one that trains."""
        assert self.images is not None
        settings = self.settings()
        assert settings is not None
        own = run_origin(self.opened, self.images, settings, teacher=None, recalibrate=self.recalibrate)
        return {
            **own,
            **self.asked,
            **self.procedure.document(self.graph, settings),
            "bounds": repr(self.bounds),
            "loss_aware": self.loss_aware.document(),
            "batches": self.calibration.batches,
            "rewound": self.earlier is not None,
            "tuned": None if self.tuned is None else dict(self.tuned.chosen),
        }

    def settings(self) -> FitSettings | None:
        """How the strategy trains, None when it does not."""
        return self.procedure.settings(
            seed=self.asked["seed"],
            device=self.opening.device,
            mean=self.images.mean if self.images else None,
            std=self.images.std if self.images else None,
        )

    def take_scores(self, path: str | None) -> None:
        """Take saved scores, if they are of this network; else say what the scorer will run on."""
        if self.plan is not None:
            return
        if path is None:
            self.notes.extend(tell_calibration(self.scorer, self.progress))
            return
        self.procedure.refuse_saved_scores()
        saved = read_scores(path)
        self.saved = fitting_scores(saved, self.opened.model, self.graph, criteria=self.scorer.criteria)
        if self.calibration.data is not None and self.scorer.needs_data:
            refuse_other_data(saved, self.scorer)

    def task(self, model: nn.Module, graph: ChannelGraph, scorer: Scorer, diary: Diary) -> PruningTask:
        """What the strategy works on; after a cut the same with what is left of the network."""

        def after(network: nn.Module) -> PruningTask:
            left = build_graph(network, self.opened.architecture.input_shape)
            return self.task(network, left, replace(scorer, graph=left), diary)

        ranker = Ranker(
            graph=graph,
            scorer=scorer,
            asked=self.asked,
            bounds=self.bounds,
            widths={group.name: group.channels for group in self.graph.prunable},
            saved=self.saved,
        )
        return PruningTask(
            model=model,
            graph=graph,
            ratio=self.asked["ratio"] or 0.0,
            rank=ranker.rank,
            after=after,
            rank_by=ranker.rank_by,
            parts=self.procedure.carried_out,
            bites=self.procedure.bites,
            bounds=self.bounds,
            loss_aware=self.loss_aware,
            recalibrate=self.recalibrate,
            earlier=self.earlier,
            diary=diary,
            seed=self.asked["seed"],
            data=self.images.data.for_training() if self.images else None,
            settings=self.settings(),
            progress=self.progress,
        )

    def cut(self, diary: Diary) -> PruningOutcome:
        """The network cut by a saved plan or by the strategy; the opened one stays as it is."""
        if self.plan is not None:
            return self.follow(self.plan)
        model = copy.deepcopy(self.opened.model) if self.procedure.trains else self.opened.model
        outcome = self.procedure.strategy.function(self.task(model, self.graph, self.scorer, diary))
        return replace(outcome, cut=drop_whole(outcome.cut))

    def follow(self, path: str) -> PruningOutcome:
        """The network cut by a saved plan."""
        model = self.opened.model
        planned, cut = follow_plan(self.graph, read_plan(path), copy.deepcopy(model))
        drop_whole(cut)
        removed = {group.name: group.removed for group in planned.plan.groups}
        allocation = Allocation(removed, {}, {})
        return PruningOutcome(reference=model, cut=cut, allocation=allocation, planned=planned)

    def prove(self, outcome: PruningOutcome) -> Verification:
        """Compare the cut network with the masked whole one; raises when nothing was cut or they differ."""
        refuse_nothing(outcome)
        if outcome.proof is not None:
            return outcome.proof
        start = time.perf_counter()
        plan = outcome.planned.plan
        removed = {group.name: group.removed for group in plan.groups}
        found = prove_cut(
            self.graph,
            outcome.reference,
            outcome.cut,
            removed,
            scalings=plan.scalings,
            seed=self.asked["seed"],
        )
        self.seconds["verify"] = time.perf_counter() - start
        return found

    def judge(
        self, outcome: PruningOutcome, *, part: str, max_drop: float | None
    ) -> tuple[dict[str, float | None] | None, GateNotMet | None]:
        """The accuracies of the network as it came and as it leaves, and the gate that they miss."""
        if self.images is None:
            return None, None
        judge = Judge(
            self.images,
            part=part,
            recalibrate=self.recalibrate,
            seed=self.asked["seed"],
            device=self.opening.device,
        )
        accuracy = judge.accuracies(self.opened.model, outcome)
        return accuracy, judge.gate(accuracy, max_drop)

    def write(self, outcome: PruningOutcome, output: str | None, *, force: bool) -> dict[str, Any] | None:
        """Write the cut network, its plan in the coordinates of the architecture."""
        if self.dry_run or output is None:
            self.tell_not_written()
            return None
        return save(
            self.opened,
            outcome.cut,
            plan=whole_plan(self.opened, outcome.planned.plan),
            step=self.step(),
            output=output,
            force=force,
            mean=self.images.mean if self.images else None,
            std=self.images.std if self.images else None,
        )

    def tell_not_written(self) -> None:
        """Note why there is no file."""
        self.notes.append(f"nothing was written: {'a dry run' if self.dry_run else 'give -o FILE'}")

    def step(self) -> dict[str, Any]:
        """What the file's history says of this pruning."""
        return {
            "command": "prune",
            **self.asked,
            "recalibrate": self.recalibrate if self.images is not None else 0,
            **self.procedure.document(self.graph, self.settings()),
            "source_sha256": self.opened.checkpoint.sha256,
        }

    def result(self, outcome: PruningOutcome, **shown: Any) -> PruneResult:
        """Everything that is to say of the pruning."""
        shape = self.opened.architecture.input_shape
        return PruneResult(
            asked=self.asked,
            model=outcome.cut,
            plan=outcome.planned.plan,
            before=costs(self.opened.model, shape),
            after=costs(outcome.cut, shape),
            layers=layer_rows(self.graph, outcome.planned.plan),
            protected=protected_rows(self.graph, outcome.allocation, outcome.planned),
            rules=outcome.allocation.rules,
            history=outcome.history,
            choices=outcome.choices,
            trained_after=outcome.trained_after,
            tuning=self.tuned,
            seconds={**self.seconds, **outcome.seconds},
            bites=self.procedure.shown_bites(self.graph) if self.plan is None else (),
            notes=(*self.notes, *(self.scorer.images.notes if self.scorer.images else ())),
            **shown,
        )
