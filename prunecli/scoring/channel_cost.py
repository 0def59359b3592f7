"""What removing one channel saves, from the traced shapes and labels: nothing is cut to find it out.

A dimension of `s` positions that loses `r` of them with a channel keeps the share 1 − r/s. A tensor keeps
the product of its dimensions' shares, and so do the multiply-accumulates of an operation, over the dimensions
that it runs through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prunecli.criteria.evidence import ChannelCost
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis, fixed
from prunecli.graph.layers import Layer
from prunecli.graph.products import axes_finder, counted_products


def channel_cost(graph: ChannelGraph, layer: Layer) -> ChannelCost | None:
    """What one channel of `layer` saves in the network as it stands, at batch 1: the mean over its filters.

    A filter's channel is all that leaves with it: where several filters leave as one (a group of a grouped
    convolution, a head), each saves what all of them do. MACs are those of convolutions and matrix products,
    activations the elements of what these make. None for a layer whose filters the graph does not know.
    """
    own = graph.origins.get((layer.weight, layer.filter_axis))
    if own is None or not own.any():
        return None
    prunable = np.zeros(graph.propagation.count, dtype=bool)
    for group in graph.prunable:
        prunable[group.labels] = True
    # Of a product of factors (groups × slots, heads × width) the one that may leave is meant.
    leaving = np.where(prunable[own].any(axis=1, keepdims=True), prunable[own], own > 0)
    shares = leaving / np.maximum(leaving.sum(axis=1, keepdims=True), 1)
    filters = np.count_nonzero(leaving.any(axis=1))
    saved = _savings(graph)

    def mean(by_label: NDArray[np.float64]) -> float:
        return float((by_label[own] * shares).sum() / filters)

    return ChannelCost(macs=mean(saved.macs), params=mean(saved.params), activations=mean(saved.activations))


@dataclass(frozen=True, eq=False)
class _Savings:
    """What leaves when one label does: three arrays (labels,)."""

    macs: NDArray[np.float64]
    params: NDArray[np.float64]
    activations: NDArray[np.float64]


@lru_cache(maxsize=1)
def _savings(graph: ChannelGraph) -> _Savings:
    macs, params, activations = (np.zeros(graph.propagation.count) for _ in range(3))
    axes_of = axes_finder(graph)
    for name, parameter in graph.model.named_parameters():
        axes = [graph.origins.get((name, d), fixed(0)) for d in range(parameter.dim())]
        _add(params, parameter.numel(), axes)
    trace = graph.traces[0]
    batch = trace.inputs[0].shape[0]
    for operation, products in counted_products(trace.operations, axes_of):
        for count, through in products:
            _add(macs, count / batch, through)
        made = operation.outputs[0]
        _add(activations, math.prod(made.shape) / batch, axes_of(made))
    return _Savings(macs, params, activations)


def _add(saved: NDArray[np.float64], amount: float, axes: Iterable[Axis]) -> None:
    """Add to every label's saving the share of `amount` that leaves with it."""
    found = [(labels, count / len(axis)) for axis in axes if axis.any() for labels, count in [_counts(axis)]]
    if not found:
        return
    labels = np.unique(np.concatenate([each for each, _ in found]))
    kept = np.ones(labels.size)
    for each, share in found:
        kept[np.searchsorted(labels, each)] *= 1 - share
    saved[labels] += amount * (1 - kept)


def _counts(axis: Axis) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels of an axis, and at how many positions each stands."""
    ordered = np.sort(axis, axis=1)
    again = np.zeros_like(ordered, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    labels, counts = np.unique(ordered[(ordered > 0) & ~again], return_counts=True)
    return labels, counts.astype(np.int64)
