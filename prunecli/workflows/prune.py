"""Prune a checkpoint: choose channels, remove them by a strategy, prove the result, write it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation, allocate
from prunecli.checkpoints import write_whole
from prunecli.errors import GateNotMet, InputRefused, WrongUse
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.processes import is_main
from prunecli.progress import Progress, remark, silent
from prunecli.scoring.filter_scores import FilterScores
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.bites import Bite, BiteWishes, Share, bites_of
from prunecli.strategies.contract import STRATEGIES, PruningOutcome, PruningTask, Strategy
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import follow_plan
from prunecli.surgery.verification import Verification
from prunecli.surgery.verification import prove as prove_cut
from prunecli.training.evaluation import evaluate as evaluate_split
from prunecli.training.recalibration import RECALIBRATION_BATCHES, recalibrate_batch_norm
from prunecli.training.settings import FitSettings
from prunecli.workflows.calibrating import Scorer, tell_calibration
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import Images
from prunecli.workflows.finetune import stored
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.prune_result import PruneResult, costs, layer_rows, protected_rows
from prunecli.workflows.saved_scores import fitting_scores, read_scores, refuse_other_data
from prunecli.workflows.saving import destination, save

_TRAINING, _BITES = FitSettings(), BiteWishes()


def prune(
    opening: Opening,
    *,
    ratio: float | None = None,
    criterion: str = "l2",
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
    epochs: int | None = None,
    training: FitSettings = _TRAINING,
    batches: int = 8,
    skip_bad_images: bool = False,
    recalibrate: int | None = None,
    bites: BiteWishes = _BITES,
    scores: str | None = None,
    max_drop: float | None = None,
    plan: str | None = None,
    plan_out: str | None = None,
    dry_run: bool = False,
    output: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> PruneResult:
    """Prune a checkpoint at `ratio` (fraction removed), or as the saved `plan` says.

    A strategy that trains does so for `epochs` on `data`, as `training` says; a criterion that looks at the
    network at work runs it on `batches` batches, or its `scores` come from a file. Nothing is written unless
    the cut network equals the masked original. With `evaluate` or `max_drop` (points) batch norms are then
    measured again on `recalibrate` batches (None: 10, 0: none), and the test part is read. Raises WrongUse,
    InputRefused for what does not fit, GateNotMet when nothing can be pruned, WorkFailed without a proof.
    """
    asked = {"strategy": strategy, "criterion": criterion, "scope": scope, "ratio": ratio, "seed": seed}
    with destination(opening, output, plan_out, force=force):
        run = _Pruning(
            opening=opening,
            opened=open_checkpoint(opening, progress=progress),
            asked=asked,
            bounds=Bounds(min_channels, round_to, tuple(protect), dict(layer_ratio or {}), residual),
            epochs=epochs,
            training=training,
            recalibrate=RECALIBRATION_BATCHES if recalibrate is None else recalibrate,
            calibration=Calibration(data, batches, training.batch_size, skip_bad_images),
            bites=bites,
            plan=plan,
            dry_run=dry_run,
            progress=progress,
        )
        run.take_scores(scores)
        run.read_images(wanted=evaluate or max_drop is not None)
        outcome = run.cut()
        found = {"verification": run.prove(outcome), "accuracy": run.judge(outcome, max_drop)}
        _write_plan(outcome.planned.plan, plan_out, force=force)
        return run.result(outcome, **found, output=run.write(outcome, output, force=force))


@dataclass(kw_only=True)
class _Pruning:
    """The steps of one pruning, and what they hand on."""

    opening: Opening
    opened: Opened
    asked: Mapping[str, Any]
    bounds: Bounds
    epochs: int | None
    training: FitSettings
    recalibrate: int
    calibration: Calibration
    bites: BiteWishes
    plan: str | None
    dry_run: bool
    progress: Progress
    images: Images | None = None
    gate: GateNotMet | None = None
    saved: FilterScores | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    graph: ChannelGraph = field(init=False)
    scorer: Scorer = field(init=False)

    def __post_init__(self) -> None:
        if self.asked["ratio"] is None and self.plan is None and not self.bounds.layer_ratio:
            raise WrongUse("prune needs to know how much to remove", hints=["for example: --ratio 0.5"])
        self.tell_of_bites()
        start = time.perf_counter()
        self.graph = build_graph(self.opened.model, self.opened.architecture.input_shape)
        self.seconds["trace"] = time.perf_counter() - start
        self.notes.extend(self.opened.notes)
        self.scorer = Scorer(
            opening=self.opening,
            opened=self.opened,
            graph=self.graph,
            criteria=(self.asked["criterion"],),
            calibration=self.calibration,
            seed=self.asked["seed"],
            progress=self.progress,
        )

    @property
    def strategy(self) -> Strategy:
        """The procedure that is really carried out: a dry run shows the cut without any training."""
        return STRATEGIES["one-shot" if self.dry_run else self.asked["strategy"]]

    def recalibration(self, outcome: PruningOutcome) -> int:
        """Batches on which batch norms are measured again at the end.

        None for a network that was trained since its last cut: it has measured them then.
        """
        return 0 if self.images is None or outcome.trained_since else self.recalibrate

    @property
    def trains(self) -> bool:
        """Whether the network is trained on the way."""
        return self.strategy.trains and self.plan is None

    def read_images(self, *, wanted: bool) -> None:
        """Open the data, for training or for the accuracy at the end if that is `wanted`."""
        if self.trains or (wanted and not self.dry_run):
            self.images = self.scorer.at_hand()

    def take_scores(self, path: str | None) -> None:
        """Take saved scores, if they are of this network; else say what the scorer will run on."""
        if self.plan is not None:
            return
        if path is None:
            self.notes.extend(tell_calibration(self.scorer, self.progress))
            return
        if self.trains:
            raise WrongUse(
                f"saved scores are of the network as it is; {self.strategy.name} trains and ranks it anew",
                hints=["take --strategy one-shot, or leave --scores out"],
            )
        saved = read_scores(path)
        self.saved = fitting_scores(saved, self.opened.model, self.graph, criteria=self.scorer.criteria)
        if self.calibration.data is not None and self.scorer.needs_data:
            refuse_other_data(saved, self.scorer)

    def task(self, model: nn.Module, graph: ChannelGraph, scorer: Scorer) -> PruningTask:
        """What the strategy works on; after a cut the same with what is left of the network."""
        criterion = self.asked["criterion"]
        ratio = self.asked["ratio"] or 0.0
        widths = {group.name: group.channels for group in self.graph.prunable}

        def rank(network: nn.Module) -> Callable[[Share], Allocation]:
            filters = self.saved if self.saved is not None else scorer.score(network)
            scores = score_groups(graph.prunable, graph.layers, filters, criterion)
            return lambda share: allocate(
                graph,
                scores,
                ratio=Fraction(str(ratio)) * Fraction(str(share)),
                bounds=self.bounds.at(share),
                scope=self.asked["scope"],
                widths=widths,
            )

        def after(network: nn.Module) -> PruningTask:
            left = build_graph(network, self.opened.architecture.input_shape)
            return self.task(network, left, replace(scorer, graph=left))

        return PruningTask(
            model=model,
            graph=graph,
            ratio=ratio,
            rank=rank,
            after=after,
            bites=self.bites,
            recalibrate=self.recalibrate,
            seed=self.asked["seed"],
            data=self.images.data.for_training() if self.images else None,
            settings=self.settings() if self.trains else None,
            progress=self.progress,
        )

    def cut(self) -> PruningOutcome:
        """The network cut by a saved plan or by the strategy; the opened one stays as it is."""
        if self.plan is not None:
            return self.follow(self.plan)
        model = copy.deepcopy(self.opened.model) if self.trains else self.opened.model
        return self.strategy.function(self.task(model, self.graph, self.scorer))

    def shown_bites(self) -> tuple[Bite, ...]:
        """The bites of the strategy that was asked for, in a dry run too."""
        if self.plan is not None or not self.asked["ratio"]:
            return ()
        epochs = STRATEGIES[self.asked["strategy"]].epochs if self.epochs is None else self.epochs
        return bites_of(self.asked["strategy"], self.asked["ratio"], self.bites, epochs=epochs)

    def tell_of_bites(self) -> None:
        """Raise WrongUse for bites that cannot be, now; remark that they take longer than was asked for."""
        least = sum(bite.epochs for bite in self.shown_bites())
        if self.epochs is not None and least > self.epochs:
            self.notes.append(f"{self.asked['strategy']} takes {least} epochs: no bite goes without one")
            remark(self.progress, self.notes[-1:])

    def training_document(self) -> dict[str, Any]:
        """How the strategy trained and in which bites, for the history in the file."""
        if not self.trains:
            return {}
        bites = [bite.document() for bite in self.shown_bites()]
        return {"training": stored(self.settings()), **({"bites": bites} if bites else {})}

    def settings(self) -> FitSettings:
        """How the strategy trains."""
        return replace(
            self.training,
            epochs=self.strategy.epochs if self.epochs is None else self.epochs,
            seed=self.asked["seed"],
            mean=self.images.mean if self.images else None,
            std=self.images.std if self.images else None,
            device=self.opening.device,
        )

    def follow(self, path: str) -> PruningOutcome:
        """The network cut by a saved plan."""
        try:
            plan = Plan.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputRefused(f"the plan {path!r} cannot be read: {reason}") from None
        model = self.opened.model
        planned, cut = follow_plan(self.graph, plan, copy.deepcopy(model))
        removed = {group.name: group.removed for group in planned.plan.groups}
        allocation = Allocation(removed, {}, {})
        return PruningOutcome(reference=model, cut=cut, allocation=allocation, planned=planned)

    def prove(self, outcome: PruningOutcome) -> Verification:
        """Compare the cut network with the masked whole one; raises when nothing was cut or they differ."""
        if not outcome.planned.plan.cuts:
            reasons = [*outcome.planned.protected.values(), *outcome.allocation.protected.values()]
            hint = reasons[0] if reasons else "the ratio leaves every group whole: try a larger one"
            raise GateNotMet("nothing could be pruned", hints=[hint])
        if outcome.proof is not None:
            return outcome.proof
        start = time.perf_counter()
        removed = {group.name: group.removed for group in outcome.planned.plan.groups}
        found = prove_cut(self.graph, outcome.reference, outcome.cut, removed, seed=self.asked["seed"])
        self.seconds["verify"] = time.perf_counter() - start
        return found

    def judge(self, outcome: PruningOutcome, max_drop: float | None) -> dict[str, float | None] | None:
        """Accuracy (%) on the test part of the network as it came, right after the cut, and as it leaves.

        None for right after the cut where the network was trained since.
        A fall by more than `max_drop` points is a gate that was missed.
        """
        if self.images is None:
            return None
        manner: dict[str, Any] = {
            "mean": self.images.mean,
            "std": self.images.std,
            "device": self.opening.device,
        }
        test = self.images.data.test
        before = evaluate_split(self.opened.model, test, **manner).accuracy
        cut = evaluate_split(outcome.cut, test, **manner).accuracy
        batches = self.recalibration(outcome)
        changed = batches > 0 and recalibrate_batch_norm(
            outcome.cut, self.images.data.train, batches=batches, seed=self.asked["seed"], **manner
        )
        after = evaluate_split(outcome.cut, test, **manner).accuracy if changed else cut
        if max_drop is not None and before - after > max_drop:
            self.gate = GateNotMet(
                f"accuracy fell by {before - after:.2f} points, more than the {max_drop:g} allowed"
            )
        return {"before": before, "cut": None if outcome.trained_since else cut, "after": after}

    def write(self, outcome: PruningOutcome, output: str | None, *, force: bool) -> dict[str, Any] | None:
        """Write the cut network, its plan in the coordinates of the architecture."""
        if self.dry_run or output is None:
            why = "a dry run" if self.dry_run else "give -o FILE"
            self.notes.append(f"nothing was written: {why}")
            return None
        earlier, later = self.opened.plan, outcome.planned.plan
        return save(
            self.opened,
            outcome.cut,
            plan=later if earlier is None else earlier.then(later),
            step={
                "command": "prune",
                **self.asked,
                "recalibrate": self.recalibrate if self.images is not None else 0,
                **self.training_document(),
                "source_sha256": self.opened.checkpoint.sha256,
            },
            output=output,
            force=force,
            mean=self.images.mean if self.images else None,
            std=self.images.std if self.images else None,
        )

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
            seconds={**self.seconds, **outcome.seconds},
            gate=self.gate,
            bites=self.shown_bites(),
            notes=(*self.notes, *(self.scorer.images.notes if self.scorer.images else ())),
            **shown,
        )


def _write_plan(plan: Plan, output: str | None, *, force: bool) -> None:
    """Write the plan as JSON, where a file was named; one process of several does."""
    if output is None or not is_main():
        return
    text = plan.to_json()

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    write_whole(output, write, force=force)
