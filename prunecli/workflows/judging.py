"""What a cut by each criterion does to the network at once, on images that no criterion has seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunecli.allocation.choosing import allocate
from prunecli.analysis.comparison import Comparison
from prunecli.analysis.judgement import CriterionJudgement, Cut, Judgement, oracle_agreement
from prunecli.cost.macs import measure
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.progress import Progress, silent
from prunecli.scoring.filter_scores import FilterScores
from prunecli.scoring.group_scores import score_groups
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import make_plan
from prunecli.training.batches import Batches, floating_dtype
from prunecli.training.device import memory_in_words
from prunecli.workflows.calibrating import Scorer, classify

LayerOutputs = Mapping[str, Tensor]
"""Layer → its output for one batch, (F, everything else)."""


def judge(
    scorer: Scorer, scores: FilterScores, comparison: Comparison, *, progress: Progress = silent
) -> Judgement:
    """Cut the network by every criterion at every ratio (local scope), and measure each cut.

    The images are of the validation part, as many as the calibration took; nothing is trained or
    recalibrated.
    """
    whole, graph = scorer.opened.model, scorer.graph
    held_out = scorer.held_out().batches(
        scorer.calibration.batch_size, device=scorer.device, dtype=floating_dtype(whole)
    )
    with memory_in_words(held_out.batch_size):
        before = _image_by_image(whole, held_out)
        reference = layer_outputs(whole, graph, held_out)
        foretold = oracle_agreement(comparison)
        judged = []
        for number, criterion in enumerate(comparison.criteria):
            progress("judge", number, len(comparison.criteria), {})
            groups = score_groups(graph.prunable, graph.layers, scores, criterion)
            cuts = []
            for ratio in comparison.ratios:
                planned = make_plan(graph, allocate(graph, groups, ratio=ratio).removed)
                cut = carry_out(planned.plan, copy.deepcopy(whole))
                found = layer_outputs(cut, graph, held_out)
                error = output_error(reference, found, kept_filters(graph, planned.plan))
                cuts.append(_cut(ratio, cut, held_out, error, scorer.opened.architecture.input_shape))
            judged.append(CriterionJudgement(criterion, foretold[criterion], tuple(cuts)))
    return Judgement(
        tuple(judged),
        images=len(held_out),
        loss=float(before[0].mean()),
        accuracy=100 * float(before[1].mean()),
    )


@torch.no_grad()
def layer_outputs(model: nn.Module, graph: ChannelGraph, batches: Batches) -> LayerOutputs:
    """Every layer's output for the first batch; of a layer that is called several times, the first."""
    outputs: dict[str, Tensor] = {}

    def keep(layer: str, axis: int, module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and layer not in outputs:
            outputs[layer] = output.movedim(axis, 0).flatten(1).float()

    with _hooked(model, graph, keep):
        images, _ = next(batches.in_order())
        model(images)
    return outputs


def kept_filters(graph: ChannelGraph, plan: Plan) -> dict[str, NDArray[np.intp]]:
    """Layer → the indices of the filters that stay."""
    marked = graph.marked(plan.removed)
    return {
        layer.name: np.flatnonzero(~graph.removed_from(layer.weight, layer.filter_axis, marked))
        for layer in graph.layers
        if (layer.weight, layer.filter_axis) in graph.origins
    }


def output_error(
    whole: LayerOutputs, cut: LayerOutputs, kept: Mapping[str, NDArray[np.intp]]
) -> float | None:
    """Mean over layers of ‖cut − whole‖ ÷ ‖whole‖ of the filters that stay; None when none fits."""
    errors = []
    for layer, index in kept.items():
        if layer not in whole or layer not in cut:
            continue
        wanted = whole[layer][torch.from_numpy(index).to(whole[layer].device)]
        size = float(wanted.norm())
        if wanted.shape == cut[layer].shape and size > 0:
            errors.append(float((cut[layer] - wanted).norm()) / size)
    return sum(errors) / len(errors) if errors else None


def _cut(ratio: float, model: nn.Module, batches: Batches, error: float | None, shape: Sequence[int]) -> Cut:
    losses, correct = _image_by_image(model, batches)
    cost = measure(model, shape)
    return Cut(
        ratio=ratio,
        loss=float(losses.mean()),
        accuracy=100 * float(correct.mean()),
        output_error=error,
        params=cost.params,
        macs=cost.macs,
        image_losses=losses,
    )


@torch.no_grad()
def _image_by_image(model: nn.Module, batches: Batches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) losses, and (n,) 1 for images that are classified right."""
    found = [classify(model, images, labels) for images, labels in batches.in_order()]
    losses = torch.cat([each.each for each in found]).double().cpu().numpy()
    return losses, torch.cat([each.correct for each in found]).double().cpu().numpy()


@contextmanager
def _hooked(model: nn.Module, graph: ChannelGraph, keep: Callable[..., None]) -> Iterator[None]:
    handles = []
    for layer in (each for each in graph.layers if not each.bare):
        axis = 1 if "Conv" in layer.type else -1
        hook = partial(keep, layer.name, axis)
        handles.append(model.get_submodule(layer.name).register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
