"""Compare what criteria say of the same filters, how sure that is, and what cutting by them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prunecli.analysis.comparison import Comparison, compare_scores
from prunecli.analysis.cwda import LayerWeights
from prunecli.analysis.gates import Gate, GateResult, check_gates, judge_gates, missed_gates
from prunecli.analysis.judgement import ORACLE, Judgement
from prunecli.criteria.specification import criterion_named
from prunecli.errors import GateNotMet
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.progress import Progress, remark, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.reports.pictures import agreement_heatmaps, rank_pictures
from prunecli.scoring.channel_cost import channel_cost
from prunecli.scoring.filter_scores import FilterScores
from prunecli.workflows.calibrating import Scorer, open_scorer, tell_calibration
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.judging import judge
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening
from prunecli.workflows.saved_scores import (
    SavedScores,
    data_origin,
    fitting_scores,
    read_scores,
    refuse_other_data,
)
from prunecli.workflows.saving import destination
from prunecli.workflows.score import layers_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_CRITERIA = ("l1", "l2", "fpgm")


@dataclass(frozen=True, eq=False, kw_only=True)
class CompareResult(ShownInNotebooks, command="compare"):
    """Agreement of criteria on one checkpoint; `gate` is a gate that was missed."""

    opened: Opened
    comparison: Comparison
    judgement: Judgement | None = None
    gates: tuple[GateResult, ...] = ()
    data: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def gate(self) -> GateNotMet | None:
        """What to raise once the result is shown; None when every gate was met."""
        missed = missed_gates(self.gates)
        return GateNotMet(missed[0], hints=missed[1:]) if missed else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What it comes to in words."""
        judged = self.judgement.remarks() if self.judgement else ()
        return (*self.comparison.remarks(), *judged)

    def document(self) -> dict[str, Any]:
        """The JSON of `compare`."""
        return {
            "checkpoint": self.opened.summary(),
            "data": self.data,
            **self.comparison.document(),
            **(self.judgement.document() if self.judgement else {}),
            **({"gates": [gate.document() for gate in self.gates]} if self.gates else {}),
            "remarks": list(self.remarks),
        }


def compare(
    opening: Opening,
    *,
    criteria: Sequence[str] | None = None,
    ratios: Sequence[float] = (0.3, 0.5),
    seed: int = 0,
    top: int = 8,
    calibration: Calibration | None = None,
    scores: str | None = None,
    noise_floor: bool = True,
    cwda: bool = False,
    judge_cuts: bool = False,
    fail_above: Sequence[Gate] = (),
    keep: Keepsakes | None = None,
    progress: Progress = silent,
) -> CompareResult:
    """Compare `criteria` on a checkpoint's filters at `ratios` (fractions removed).

    `scores` names a file of saved ones, whose criteria are all taken when none are named. With
    `noise_floor` whatever depends on images or on the seed is scored again with others. `cwda` tests the
    weights; `judge_cuts` cuts by each criterion, the oracle among them, and measures what is left.
    `top` is how many of the first pruned filters are listed, `keep` which pictures and reports to write.
    Raises WrongUse for an unknown criterion,
    InputRefused for a checkpoint, scores or data that do not fit.
    """
    keep = keep or Keepsakes()
    with destination(opening, *keep.paths, force=keep.force, inputs=(scores,)):
        saved = None if scores is None else read_scores(scores)
        names = _names(criteria, saved, judge_cuts=judge_cuts)
        check_gates(fail_above, names)
        scorer = open_scorer(opening, names, calibration=calibration, seed=seed, progress=progress)
        keep.check_layer(layer.name for layer in scorer.graph.layers)
        filters, notes = _scores(scorer, saved, progress)
        again, unsure = _again(scorer) if noise_floor and saved is None else (None, ())
        remark(progress, unsure)
        comparison = compare_scores(
            filters,
            criteria=names,
            ratios=ratios,
            top=top,
            costs=_costs(scorer.graph),
            again=again,
            weights=_weights(scorer) if cwda else None,
            seed=seed,
        )
        result = CompareResult(
            opened=scorer.opened,
            comparison=comparison,
            judgement=judge(scorer, filters, comparison, progress=progress) if judge_cuts else None,
            gates=judge_gates(fail_above, comparison),
            data=data_origin(scorer) if saved is None else saved.origin.get("data"),
            notes=(*scorer.notes, *notes, *unsure),
        )
        _keep(result, scorer, filters, keep)
        return result


def _keep(result: CompareResult, scorer: Scorer, filters: FilterScores, keep: Keepsakes) -> None:
    """Write the pictures and the report that were asked for."""

    def ranks() -> Figure:
        layer = keep.plot_layer or _most_divided(result.comparison)
        return rank_pictures({"layers": layers_document(scorer.graph, filters, scorer.criteria)}, layer)

    keep.write("compare", result.document(), plot=agreement_heatmaps, ranks=ranks)


def _names(criteria: Sequence[str] | None, saved: SavedScores | None, *, judge_cuts: bool) -> tuple[str, ...]:
    names = tuple(criteria or (saved.criteria if saved else DEFAULT_CRITERIA))
    return (*names, ORACLE) if judge_cuts and ORACLE not in names else names


def _most_divided(comparison: Comparison) -> str:
    """The layer on whose filters the criteria agree least, by the mean Spearman of the pairs."""
    by_layer: dict[str, list[float]] = {}
    for pair in comparison.pairs:
        for name, found in pair.layers.items():
            if found.spearman is not None:
                by_layer.setdefault(name, []).append(found.spearman)
    return min(by_layer, key=lambda name: sum(by_layer[name]) / len(by_layer[name]), default="")


def _scores(
    scorer: Scorer, saved: SavedScores | None, progress: Progress
) -> tuple[FilterScores, tuple[str, ...]]:
    """Saved scores where there are, computed ones for the criteria that were not saved, and notes."""
    if saved is None:
        notes = tell_calibration(scorer, progress)
        return scorer.score(), notes
    if scorer.calibration.data is not None:
        refuse_other_data(saved, scorer)
    kept = [name for name in scorer.criteria if name in saved.criteria]
    fresh = tuple(name for name in scorer.criteria if name not in saved.criteria)
    found = fitting_scores(saved, scorer.opened.model, scorer.graph, criteria=kept)
    notes = (f"{', '.join(kept) or 'no'} scores taken from {saved.path}",)
    remark(progress, notes)
    if not fresh:
        return found, notes
    rest = replace(scorer, criteria=fresh)
    notes = (*notes, *tell_calibration(rest, progress))
    computed = rest.score()
    scorer.images = rest.images
    both = {layer: {**found[layer], **computed[layer]} for layer in found}
    return {
        layer: {name: members[name] for name in scorer.criteria} for layer, members in both.items()
    }, notes


def _again(scorer: Scorer) -> tuple[FilterScores | None, tuple[str, ...]]:
    """The criteria that other images or another seed can change, scored with others; None without any."""
    changing = tuple(name for name in scorer.criteria if not criterion_named(name).exact)
    if not changing:
        return None, ()
    if scorer.needs_data and not scorer.has_others:
        count = len(scorer.at_hand().data.train)
        batches = max(1, count // scorer.calibration.batch_size // 2)
        return None, (
            f"no noise floor: {count} training images are too few to choose again; try --batches {batches}",
        )
    return replace(scorer, criteria=changing).score(again=True), ()


def _costs(graph: ChannelGraph) -> dict[str, float]:
    """Layer → MACs that removing one of its channels saves, where that is known and not nothing."""
    found = {layer.name: channel_cost(graph, layer) for layer in graph.layers}
    return {name: cost.macs for name, cost in found.items() if cost is not None and cost.macs}


def _weights(scorer: Scorer) -> list[LayerWeights]:
    """The layers' weights, and which of them the assumption does not speak of."""
    model, graph = scorer.opened.model, scorer.graph
    trace = graph.traces[0]
    inputs = {ref.number for ref in trace.inputs}
    tensors = [operation.tensors() for operation in trace.operations]
    reading = [refs for refs in tensors if any(ref.number in inputs for ref in refs)]
    first = {ref.name for refs in reading for ref in refs if ref.name is not None}
    found = []
    for layer in graph.layers:
        weight = model.get_parameter(layer.weight).detach()
        shape = tuple(layer.filters_first(weight).shape)
        depthwise = getattr(layer.module(graph.model), "groups", 1) > 1 and shape[1] == 1
        found.append(
            LayerWeights(
                name=layer.name,
                weight=layer.rows(weight),
                kernel_shape=shape,
                first=layer.weight in first,
                depthwise=depthwise,
            )
        )
    return found
