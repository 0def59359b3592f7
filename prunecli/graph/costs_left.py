"""What a network costs once channels are gone, from the traced shapes and labels: nothing is cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis, kept_count
from prunecli.graph.products import axes_finder, counted_products


def macs_left(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> int:
    """The MACs at batch 1 of convolutions and matrix products when channels (by group name) are removed.

    An operation keeps the product of the shares of its dimensions that stay.
    """
    return _left(_products(graph), graph.marked(removed))


def params_left(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> int:
    """The elements of all parameters, shared ones once, when channels (by group name) are removed."""
    return _left(_parameters(graph), graph.marked(removed))


def bytes_left(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> int:
    """The bytes of all tensors of the state dict when channels (by group name) are removed."""
    return _left(_state(graph), graph.marked(removed))


_Amounts = tuple[tuple[int, tuple[Axis, ...]], ...]
"""Amounts, each with the axes over which it is spread."""


def _left(amounts: _Amounts, marked: NDArray[np.bool_]) -> int:
    kept: dict[int, int] = {}  # many operations run through the same axis
    total = 0
    for amount, axes in amounts:
        before, after = 1, 1
        for axis in axes:
            if id(axis) not in kept:
                kept[id(axis)] = kept_count(axis, marked)
            before, after = before * len(axis), after * kept[id(axis)]
        total += amount * after // before
    return total


@lru_cache(maxsize=2)
def _products(graph: ChannelGraph) -> _Amounts:
    trace = graph.traces[0]
    batch = trace.inputs[0].shape[0]
    return tuple(
        (count // batch, tuple(axis for axis in through if axis.any()))
        for _, products in counted_products(trace.operations, axes_finder(graph))
        for count, through in products
    )


@lru_cache(maxsize=2)
def _parameters(graph: ChannelGraph) -> _Amounts:
    return tuple(_spread(graph, name, tuple(p.shape), 1) for name, p in graph.model.named_parameters())


@lru_cache(maxsize=2)
def _state(graph: ChannelGraph) -> _Amounts:
    names = {id(t): name for name, t in [*graph.model.named_buffers(), *graph.model.named_parameters()]}
    tensors = graph.model.state_dict(keep_vars=True).values()
    return tuple(_spread(graph, names[id(t)], tuple(t.shape), t.element_size()) for t in tensors)


def _spread(
    graph: ChannelGraph, name: str, shape: tuple[int, ...], size: int
) -> tuple[int, tuple[Axis, ...]]:
    """The amount that a tensor is, and its axes that can lose positions."""
    axes = (graph.origins.get((name, axis)) for axis in range(len(shape)))
    return size * math.prod(shape), tuple(axis for axis in axes if axis is not None and axis.any())
