"""The steps of one pruning, from the opened checkpoint to what is to say of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation
from prunecli.allocation.targets import WORDS, Target
from prunecli.errors import GateNotMet
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.description import described
from prunecli.progress import Progress, remark
from prunecli.scoring.filter_scores import FilterScores
from prunecli.strategies.contract import PruningOutcome, PruningTask
from prunecli.strategies.diary import Diary
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.surgery.coordinates import chosen_channels
from prunecli.surgery.planning import follow_plan
from prunecli.surgery.scattering import drop_whole
from prunecli.surgery.verification import Verification
from prunecli.surgery.verification import prove as prove_cut
from prunecli.training.settings import FitSettings
from prunecli.workflows.calibrating import Scorer, tell_calibration
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import Images
from prunecli.workflows.gauges import Gauged
from prunecli.workflows.opening import Opened, Opening, open_earlier
from prunecli.workflows.plan_files import read_plan
from prunecli.workflows.procedure import Procedure
from prunecli.workflows.prune_judging import Judge
from prunecli.workflows.prune_request import PruneRequest
from prunecli.workflows.prune_result import PruneResult, costs, layer_rows, protected_rows, refuse_nothing
from prunecli.workflows.prune_tuning import TuningRequest, TuningResult, chosen_before, tune, with_values
from prunecli.workflows.ranking import Comparing, Ranker, comparing
from prunecli.workflows.rounding import Rounding, rounding
from prunecli.workflows.run_keeping import run_origin
from prunecli.workflows.saved_scores import fitting_scores, read_scores, refuse_other_data
from prunecli.workflows.saving import file_bytes, save, whole_plan
from prunecli.workflows.scattered import with_scatters
from prunecli.workflows.targeting import Aiming, Aims


def steps_of(asked: PruneRequest) -> dict[str, Any]:
    """What a request says of the steps of a pruning, wherever the network lies."""
    return {
        "request": asked,
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

    request: PruneRequest
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
    aims: Aims | None = None
    fallen: GateNotMet | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    graph: ChannelGraph = field(init=False)
    scorer: Scorer = field(init=False)
    rounding: Rounding = field(init=False)

    def __post_init__(self) -> None:
        self.procedure.check()
        start = time.perf_counter()
        self.opened = with_scatters(self.opened, plan=self.plan, residual=self.bounds.residual)
        self.graph = build_graph(self.opened.model, self.opened.architecture.input_shape)
        self.seconds["trace"] = time.perf_counter() - start
        measure, device = self.request.measures_widths, self.opening.device
        self.rounding = rounding(self.bounds, self.graph, measure=measure, device=device)
        self.bounds = self.rounding.bounds
        self.notes.extend((*self.opened.notes, *self.rounding.notes))
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
        """Open the data, for training, a search, or for the accuracy at the end if that is `wanted`."""
        self.images = None
        if self.procedure.trains or self.request.searches or (wanted and not self.dry_run):
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

    def take_aim(self, target: Target | None, *, max_drop: float | None) -> None:
        """Find out what a target comes to here; one that cannot be met leaves a dry run with the nearest.

        With `max_drop` (points) the target is looked for: as little as keeps it.
        """
        if target is None and max_drop is None:
            return
        start = time.perf_counter()
        if self.procedure.ranks_once and self.saved is None:
            self.saved = self.scorer.score(self.opened.model)  # the one ranking that the strategy makes too
        aiming = Aiming(
            gauged=self._gauged(),
            ranker=self.ranker(self.graph, self.scorer),
            bounds=self.bounds,
            progress=self.progress,
        )
        if target is not None:
            self.procedure.refuse_target(target.kind)
            self.aims = aiming.at(target)
        elif max_drop is not None:
            self.procedure.refuse_search()
            judge = self.judging("validation")
            self.aims = aiming.within(max_drop, judge=judge)
        assert self.aims is not None
        aim, in_vain = self.aims.aim, self.aims.missed is not None
        self.procedure = self.procedure.aimed(aim.share, of=WORDS[aim.target.kind], in_vain=in_vain)
        self.seconds["aim"] = time.perf_counter() - start

    def _gauged(self) -> Gauged:
        return Gauged(
            graph=self.graph,
            model=self.opened.model,
            file_bytes=lambda plan: file_bytes(self.opened, plan=plan, step=self.step()),
            device=self.opening.device,
            batch=self.request.latency_batch,
        )

    @cached_property
    def _comparing(self) -> Comparing:
        return comparing(self.request, self.opened.model, self.graph, multiple=self.rounding.multiple)

    def ranker(self, graph: ChannelGraph, scorer: Scorer) -> Ranker:
        """What ranks the channels of `graph`, this network's or what a cut has left of it."""
        return Ranker(
            graph=graph,
            scorer=scorer,
            asked=self.asked,
            bounds=self.bounds,
            widths={group.name: group.channels for group in self.graph.prunable},
            saved=self.saved,
            aim=None if self.aims is None else self.aims.aim,
            comparing=self._comparing,
        )

    def task(self, model: nn.Module, graph: ChannelGraph, scorer: Scorer, diary: Diary) -> PruningTask:
        """What the strategy works on; after a cut the same with what is left of the network."""

        def after(network: nn.Module) -> PruningTask:
            left = build_graph(network, self.opened.architecture.input_shape)
            return self.task(network, left, replace(scorer, graph=left), diary)

        ranker = self.ranker(graph, scorer)
        return PruningTask(
            model=model,
            graph=graph,
            ratio=self.procedure.ratio or 0.0,
            rank=ranker.rank,
            after=after,
            rank_by=ranker.rank_by,
            parts=self.procedure.carried_out,
            bites=self.procedure.bites,
            bounds=self.bounds,
            loss_aware=self.loss_aware,
            recalibrate=self.recalibrate,
            earlier=self.earlier,
            trial=None if self.tuned is None else self.tuned.trial,
            most_macs=None if self.aims is None else self.aims.most_macs,
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
        allocation = Allocation(planned.plan.removed, {}, {})
        return PruningOutcome(reference=model, cut=cut, allocation=allocation, planned=planned)

    def prove(self, outcome: PruningOutcome) -> Verification:
        """Compare the cut network with the masked whole one; raises when nothing was cut or they differ."""
        refuse_nothing(outcome)
        if outcome.proof is not None:
            return outcome.proof
        start = time.perf_counter()
        plan = outcome.planned.plan
        found = prove_cut(
            self.graph,
            outcome.reference,
            outcome.cut,
            plan.removed,
            scalings=plan.scalings,
            seed=self.asked["seed"],
        )
        self.seconds["verify"] = time.perf_counter() - start
        return found

    def judged(
        self, diary: Diary, *, part: str, max_drop: float | None
    ) -> tuple[PruningOutcome, Verification, Mapping[str, float | None] | None]:
        """The cut network, its proof, and the accuracies of the network as it came and as it leaves.

        Where a search has found several cuts, the first that does not fall by more than it may.
        """
        while True:
            outcome = self.cut(diary)
            proof = self.prove(outcome)
            if self.images is None:
                return outcome, proof, None
            judge = self.judging(part)
            accuracy = judge.accuracies(self.opened.model, outcome)
            self.fallen = judge.gate(accuracy, max_drop)
            if self.fallen is None or self.aims is None or not self.aims.fallbacks:
                return outcome, proof, accuracy
            self.aims = self.aims.next()
            self.notes.append(f"on the {part} part {self.fallen.message}: the next smaller cut was taken")

    def judging(self, part: str) -> Judge:
        """What reads one part of the images; there must be some."""
        assert self.images is not None
        return Judge(
            self.images,
            part=part,
            recalibrate=self.recalibrate,
            seed=self.asked["seed"],
            device=self.opening.device,
        )

    def write(self, outcome: PruningOutcome, output: str | None, *, force: bool) -> dict[str, Any] | None:
        """Write the cut network, its plan in the coordinates of the architecture."""
        if self.dry_run or self.procedure.in_vain or output is None:
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
        why = "a dry run" if self.dry_run else "give -o FILE"
        told = "the target cannot be met" if self.procedure.in_vain else why
        self.notes.append(f"nothing was written: {told}")

    def step(self) -> dict[str, Any]:
        """What the file's history says of this pruning."""
        return {
            "command": "prune",
            **self.asked,
            "recalibrate": self.recalibrate if self.images is not None else 0,
            **self.procedure.document(self.graph, self.settings()),
            "source_sha256": self.opened.checkpoint.sha256,
        }

    def result(
        self, outcome: PruningOutcome, *, output: Mapping[str, Any] | None, **shown: Any
    ) -> PruneResult:
        """Everything that is to say of the pruning."""
        shape = self.opened.architecture.input_shape
        after = costs(outcome.cut, shape)
        plan, target, missed = outcome.planned.plan, None, None
        removed = chosen_channels(self.graph, plan)
        if self.aims is not None:
            target, missed = self.aims.reached(plan, after=after, output=output)
        return PruneResult(
            asked=self.asked,
            model=outcome.cut,
            plan=plan,
            target=target,
            checkpoint=self.opened.summary(),
            widths=self.rounding.document(self.graph, removed),
            gate=missed or self.fallen,
            output=output,
            before=costs(self.opened.model, shape),
            after=after,
            layers=layer_rows(self.graph, plan),
            graph=described(self.graph),
            data=self.images.data.name if self.images is not None else None,
            protected=protected_rows(self.graph, outcome.allocation, outcome.planned),
            rules=outcome.allocation.rules,
            history=outcome.history,
            choices=outcome.choices,
            trained_after=outcome.trained_after,
            tuning=self.tuned,
            seconds={**self.seconds, **outcome.seconds},
            bites=self.procedure.shown_bites(self.graph) if self.plan is None else (),
            notes=(
                *self.notes,
                *self.rounding.remarks(self.graph, removed),
                *(self.scorer.images.notes if self.scorer.images else ()),
            ),
            **shown,
        )
