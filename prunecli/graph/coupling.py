"""Filter by filter: which positions of which tensors leave when a layer loses one of its filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis
from prunecli.graph.layers import Layer


@dataclass(frozen=True, eq=False)
class LeavingPositions:
    """Positions along one axis of one tensor; positions[i] leaves with the layer's filter owner[i]."""

    tensor: str
    axis: int
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]


def leaving_with(graph: ChannelGraph, layer: Layer) -> tuple[LeavingPositions, ...]:
    """What leaves with each filter of `layer`: its own weight first, then by the tensors' names."""
    origin = (layer.weight, layer.filter_axis)
    own = graph.origins.get(origin)
    if own is None:
        return ()
    found = []
    for key in sorted(graph.origins, key=lambda key: (key != origin, key)):
        owner = _owners(graph.origins[key], own)
        positions = np.flatnonzero(owner >= 0)
        if positions.size:
            found.append(LeavingPositions(key[0], key[1], positions, owner[positions]))
    return tuple(found)


def _owners(axis: Axis, filters: Axis) -> NDArray[np.int64]:
    """For each position of `axis` the filter that has the same label, or all the same labels; −1 for none.

    Where a filter's label is a product (head × width), the other axis must be the same product.
    """
    owner = np.full(len(axis), -1, dtype=np.int64)
    if not axis.size or not filters.size:
        return owner
    if filters.shape[1] == 1:
        labels = filters[:, 0]
        known = np.full(max(int(axis.max()), int(labels.max())) + 1, -1, dtype=np.int64)
        known[labels] = np.arange(len(labels))
        known[0] = -1  # 0 is no label
        for column in axis.T:
            owner = np.where(owner < 0, known[column], owner)
        return owner
    if axis.shape[1] != filters.shape[1]:
        return owner
    rows = {tuple(sorted(row)): index for index, row in enumerate(filters.tolist()) if all(row)}
    return np.array([rows.get(tuple(sorted(row)), -1) for row in axis.tolist()], dtype=np.int64)
