"""Collect what criteria read: a layer's weights as one row a filter, what is coupled, what was gathered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.criteria.contract import Needs
from prunecli.criteria.evidence import BatchNormEvidence, Evidence, Slices
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.coupling import leaving_with
from prunecli.graph.layers import Layer
from prunecli.scoring.channel_cost import channel_cost


def collect_evidence(
    model: nn.Module,
    graph: ChannelGraph,
    layer: Layer,
    *,
    needs: Needs = Needs.WEIGHT | Needs.BATCH_NORM,
    gathered: Mapping[str, Any] | None = None,
    seed: int = 0,
    weight: Tensor | None = None,
) -> Evidence:
    """The evidence about one layer of `model`; its tensors are views of the weights where possible.

    `gathered` are attributes of `Evidence` that a calibration found. `weight` takes the place of the layer's
    own, for a network whose weights are elsewhere.
    """
    if weight is None:
        weight = model.get_parameter(layer.weight).detach()
    return Evidence(
        layer=layer.name,
        weight=layer.rows(weight),
        kernel_shape=tuple(layer.filters_first(weight).shape),
        batch_norm=_batch_norm(model, layer) if Needs.BATCH_NORM in needs else None,
        seed=seed,
        coupled=coupled_slices(model, graph, layer) if Needs.COUPLED in needs else None,
        cost=channel_cost(graph, layer) if Needs.COST in needs else None,
        **(gathered or {}),
    )


def coupled_slices(model: nn.Module, graph: ChannelGraph, layer: Layer) -> tuple[Slices, ...] | None:
    """What of every parameter leaves with the layer's filters, None when the graph does not know them."""
    parameters = dict(model.named_parameters())
    found = []
    for leaving in leaving_with(graph, layer):
        tensor = parameters.get(leaving.tensor)
        if tensor is None:  # running statistics are no weights
            continue
        along = tensor.detach().movedim(leaving.axis, 0)
        positions = torch.from_numpy(leaving.positions).to(tensor.device)
        rows = along.reshape(along.shape[0], -1).index_select(0, positions)
        found.append(Slices(leaving.tensor, rows, torch.from_numpy(leaving.owner).to(tensor.device)))
    return tuple(found) or None


def _batch_norm(model: nn.Module, layer: Layer) -> BatchNormEvidence | None:
    if layer.batch_norm is None:
        return None
    norm = model.get_submodule(layer.batch_norm)
    found = [getattr(norm, name, None) for name in ("weight", "bias", "running_mean", "running_var")]
    tensors = [tensor.detach() for tensor in found if isinstance(tensor, Tensor)]
    if len(tensors) != 4:
        return None
    scale, shift, mean, variance = tensors
    return BatchNormEvidence(scale, shift, mean, variance, float(getattr(norm, "eps", 0.0)))
