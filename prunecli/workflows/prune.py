"""Prune a checkpoint: choose channels, remove them by a strategy, prove the result, write it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation, allocate
from prunecli.checkpoints import write_whole
from prunecli.cost.macs import Cost, measure
from prunecli.cost.thop_figures import thop_figures
from prunecli.errors import GateNotMet, InputRefused, WorkFailed, WrongUse
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.progress import Progress, silent
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.contract import STRATEGIES, PruningOutcome, PruningTask, Strategy
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import Planned, follow_plan
from prunecli.surgery.verification import Verification, verify
from prunecli.training.evaluation import evaluate as evaluate_split
from prunecli.training.recalibration import recalibrate_batch_norm
from prunecli.training.settings import FitSettings
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.finetune import history_document
from prunecli.workflows.inspect import thop_document
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.saving import check_destination, save


@dataclass(frozen=True, kw_only=True)
class PruneRequest:
    """What a pruning is asked for, apart from the input and the output."""

    ratio: float | None
    criterion: str
    strategy: str
    scope: str
    bounds: Bounds
    seed: int
    plan: str | None


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned network with its costs, its proof and its file. `gate` is a gate that was missed."""

    request: PruneRequest
    model: nn.Module
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    layers: tuple[Mapping[str, Any], ...]
    protected: tuple[Mapping[str, str], ...]
    rules: Mapping[str, str]
    verification: Verification
    accuracy: Mapping[str, float] | None
    history: tuple[Mapping[str, Any], ...]
    seconds: Mapping[str, float]
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]
    gate: GateNotMet | None = None

    def document(self) -> dict[str, Any]:
        """The JSON of `prune`."""
        keys = ("params", "macs", "bytes")
        return {
            "strategy": self.request.strategy,
            "criterion": self.request.criterion,
            "scope": self.request.scope,
            "ratio": self.request.ratio,
            "target": None,
            "seed": self.request.seed,
            "before": dict(self.before),
            "after": dict(self.after),
            "reduction": {key: _reduction(self.before[key], self.after[key]) for key in keys},
            "layers": [dict(layer) for layer in self.layers],
            "protected": [dict(entry) for entry in self.protected],
            "rules": [{"group": name, "rule": rule} for name, rule in self.rules.items()],
            "verification": self.verification.document(),
            "accuracy": None if self.accuracy is None else dict(self.accuracy),
            "history": [dict(record) for record in self.history],
            "seconds": dict(self.seconds),
            "output": None if self.output is None else dict(self.output),
        }


@dataclass
class _Work:
    """What the steps of one pruning hand on."""

    opened: Opened
    graph: ChannelGraph
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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
    lr: float = 0.01,
    batch_size: int = 128,
    max_drop: float | None = None,
    plan: str | None = None,
    plan_out: str | None = None,
    dry_run: bool = False,
    output: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> PruneResult:
    """Prune a checkpoint at `ratio`, or as a saved plan says.

    Nothing is written unless the cut network equals the masked original. Raises WrongUse for wishes that
    cannot be, InputRefused for a checkpoint or plan that does not fit, GateNotMet when nothing can be
    pruned, WorkFailed when the proof fails.
    """
    for path in (output, plan_out):
        check_destination(opening, path, force=force)
    chosen = STRATEGIES[strategy]
    bounds = Bounds(min_channels, round_to, tuple(protect), dict(layer_ratio or {}), residual)
    request = PruneRequest(
        ratio=ratio, criterion=criterion, strategy=strategy, scope=scope, bounds=bounds, seed=seed, plan=plan
    )
    opened = open_checkpoint(opening)
    start = time.perf_counter()
    graph = build_graph(opened.model, opened.architecture.input_shape)
    work = _Work(opened, graph, {"trace": time.perf_counter() - start}, list(opened.notes))
    trains = chosen.trains and plan is None and not dry_run
    images = None
    if trains or ((evaluate or max_drop is not None) and not dry_run):
        images = open_images(opened, data, seed=seed, progress=progress)
        work.notes.extend(images.notes)
    settings = _settings(opening, chosen, images, epochs, lr, batch_size, seed) if trains else None
    outcome = _carry_out(
        work, request, chosen if not dry_run else STRATEGIES["one-shot"], images, settings, progress
    )
    verification = _prove(work, outcome, seed)
    accuracy = _accuracy(work, opening, outcome, images, recalibrate=trains)
    if plan_out is not None:
        text = outcome.planned.plan.to_json()
        write_whole(plan_out, lambda path: _write_text(path, text), force=force)
    step = {
        "command": "prune",
        "ratio": ratio,
        "criterion": criterion,
        "strategy": strategy,
        "scope": scope,
        "seed": seed,
    }
    whole_plan = outcome.planned.plan if opened.plan is None else opened.plan.then(outcome.planned.plan)
    written = save(
        opened,
        outcome.cut,
        plan=whole_plan,
        step={**step, "source_sha256": opened.checkpoint.sha256},
        output=None if dry_run else output,
        force=force,
        mean=images.mean if images else None,
        std=images.std if images else None,
    )
    if written is None:
        work.notes.append(
            "nothing was written: a dry run" if dry_run else "nothing was written: give -o FILE"
        )
    return _result(work, request, outcome, verification, accuracy, written, max_drop)


def _settings(
    opening: Opening,
    chosen: Strategy,
    images: Images | None,
    epochs: int | None,
    lr: float,
    batch_size: int,
    seed: int,
) -> FitSettings:
    return FitSettings(
        epochs=epochs or chosen.epochs,
        lr=lr,
        batch_size=batch_size,
        seed=seed,
        mean=images.mean if images else None,
        std=images.std if images else None,
        device=opening.device,
    )


def _carry_out(
    work: _Work,
    request: PruneRequest,
    chosen: Strategy,
    images: Images | None,
    settings: FitSettings | None,
    progress: Progress,
) -> PruningOutcome:
    """The cut network: by a saved plan, or by the strategy."""
    model = work.opened.model
    if request.plan is not None:
        planned, cut = follow_plan(work.graph, _read_plan(request.plan), copy.deepcopy(model))
        removed = {group.name: group.removed for group in planned.plan.groups}
        return PruningOutcome(
            reference=model, cut=cut, allocation=Allocation(removed, {}, {}), planned=planned
        )
    if request.ratio is None and not request.bounds.layer_ratio:
        raise WrongUse("prune needs to know how much to remove", hints=["for example: --ratio 0.5"])

    def choose(network: nn.Module, ratio: float) -> Allocation:
        filters = score_filters(network, work.graph.layers, [request.criterion], seed=request.seed)
        scores = score_groups(work.graph.prunable, work.graph.layers, filters, request.criterion)
        return allocate(work.graph, scores, ratio=ratio, bounds=request.bounds, scope=request.scope)

    task = PruningTask(
        model=copy.deepcopy(model) if chosen.trains else model,
        graph=work.graph,
        ratio=request.ratio or 0.0,
        choose=choose,
        data=images.data.for_training() if images else None,
        settings=settings,
        progress=progress,
    )
    return chosen.function(task)


def _read_plan(path: str) -> Plan:
    try:
        return Plan.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused(f"the plan {path!r} cannot be read: {getattr(error, 'strerror', error)}") from None


def _prove(work: _Work, outcome: PruningOutcome, seed: int) -> Verification:
    removed = {group.name: group.removed for group in outcome.planned.plan.groups}
    if not removed:
        reasons = [*outcome.planned.protected.values(), *outcome.allocation.protected.values()]
        raise GateNotMet(
            "nothing could be pruned",
            hints=[reasons[0] if reasons else "the ratio leaves every group whole: try a larger one"],
        )
    start = time.perf_counter()
    found = verify(work.graph, outcome.reference, outcome.cut, removed, seed=seed)
    work.seconds["verify"] = time.perf_counter() - start
    if not found.equivalent:
        raise WorkFailed(
            f"the pruned network is not equivalent to the masked original: relative error {found.max_rel_error:.3g}",
            hints=["nothing was written", "please report the architecture"],
        )
    return found


def _accuracy(
    work: _Work, opening: Opening, outcome: PruningOutcome, images: Images | None, *, recalibrate: bool
) -> dict[str, float] | None:
    """Accuracy on the test part of the network as it came and as it leaves; the test part is read here only."""
    if images is None:
        return None
    manner: dict[str, Any] = {"mean": images.mean, "std": images.std, "device": opening.device}
    if recalibrate:
        recalibrate_batch_norm(outcome.cut, images.data.train, **manner)
    before, after = (
        evaluate_split(model, images.data.test, **manner).accuracy
        for model in (work.opened.model, outcome.cut)
    )
    return {"before": before, "after": after}


def _result(
    work: _Work,
    request: PruneRequest,
    outcome: PruningOutcome,
    verification: Verification,
    accuracy: dict[str, float] | None,
    written: dict[str, Any] | None,
    max_drop: float | None,
) -> PruneResult:
    shape = work.opened.architecture.input_shape
    protected = _protected(work.graph, outcome.allocation, outcome.planned)
    seconds = {**work.seconds, **outcome.seconds}
    return PruneResult(
        request=request,
        model=outcome.cut,
        before=_costs(work.opened.model, shape),
        after=_costs(outcome.cut, shape),
        layers=tuple(_layers(work.graph, outcome)),
        protected=protected,
        rules=outcome.allocation.rules,
        verification=verification,
        accuracy=accuracy,
        history=tuple(history_document(outcome.history)),
        seconds={
            name: seconds.get(name, 0.0) for name in ("trace", "score", "plan", "surgery", "verify", "train")
        },
        output=written,
        notes=tuple(work.notes),
        gate=_gate(accuracy, max_drop),
    )


def _gate(accuracy: dict[str, float] | None, max_drop: float | None) -> GateNotMet | None:
    if accuracy is None or max_drop is None:
        return None
    drop = accuracy["before"] - accuracy["after"]
    if drop <= max_drop:
        return None
    return GateNotMet(f"accuracy fell by {drop:.2f} points, more than the {max_drop:g} allowed")


def _costs(model: nn.Module, shape: Sequence[int]) -> dict[str, Any]:
    cost: Cost = measure(model, shape)
    thop = thop_document(thop_figures(model, shape))
    return {"params": cost.params, "macs": cost.macs, "flops": cost.flops, "bytes": cost.bytes, "thop": thop}


def _layers(graph: ChannelGraph, outcome: PruningOutcome) -> list[dict[str, Any]]:
    cuts = {(cut.tensor, cut.axis): cut for cut in outcome.planned.plan.cuts}
    rows = []
    for layer in graph.layers:
        cut = cuts.get((layer.weight, layer.filter_axis))
        removed = list(cut.removed) if cut else []
        after = layer.channels - len(removed)
        rows.append(
            {
                "name": layer.name,
                "type": layer.type,
                "before": layer.channels,
                "after": after,
                "removed": removed,
            }
        )
    return rows


def _protected(graph: ChannelGraph, allocation: Allocation, planned: Planned) -> tuple[dict[str, str], ...]:
    """Groups with filters that lost nothing, with the reason; dimensions that no filter makes are left out."""
    layers = {layer.name for layer in graph.layers}
    reasons = {group.name: group.reason for group in graph.groups if group.reason and group.name in layers}
    found = {**reasons, **allocation.protected, **planned.protected}
    return tuple({"name": name, "reason": reason} for name, reason in found.items() if reason)


def _reduction(before: float, after: float) -> float:
    return 1 - after / before if before else 0.0


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
