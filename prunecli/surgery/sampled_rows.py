"""The proof for a network that does not fit in memory: layer by layer, on rows that are drawn by lot.

What a cut layer computes for one of its outputs, on random input, is compared with what the whole layer
computes for it when the channels that left are zero. Which those are the graph says, at the activation that a
convolution reads; the plan is not asked. That the layers fit together the run on shapes has shown before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunecli.errors import WorkFailed
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import removed_positions
from prunecli.surgery.single_tensors import first_names
from prunecli.surgery.verification import TOLERANCE, Verification

ROWS = 8
METHOD = (
    "{groups} channel groups on sampled rows: of each of {tensors} tensors up to {rows} rows {where} against "
    "the whole layer with its removed channels masked, random input, float64; how layers fit together by a "
    "run on shapes"
)

Marks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two networks: the shape of a tensor, and rows of it by their numbers (n,), as float64."""

    shape: Callable[[str], tuple[int, ...]]
    rows: Callable[[str, NDArray[np.int64]], Tensor]


def prove_rows(
    graph: ChannelGraph,
    whole: Side,
    cut: Side,
    removed: Mapping[str, Iterable[int]],
    *,
    where: str,
    seed: int = 0,
) -> Verification:
    """Compare sampled rows of every tensor that loses channels `removed` (by group name).

    `where` says in the method what the rows are of. Tensors are called by their names in the state dict.
    Raises WorkFailed when a shape or a row of `cut` is not what the masked whole layer comes to.
    """
    marked = graph.marked(removed)
    generator = torch.Generator().manual_seed(seed)
    reads = _grouped_reads(graph)
    worst_abs, worst_rel, compared = 0.0, 0.0, 0
    for name, first in first_names(graph.model).items():
        gone = _gone(graph, first, whole.shape(name), marked)
        foreseen = tuple(int((~each).sum()) for each in gone)
        if cut.shape(name) != foreseen:
            raise _unequal(f"{name!r} has the shape {cut.shape(name)}, and {foreseen} was foreseen")
        if not any(each.any() for each in gone) or 0 in foreseen:
            continue
        compared += 1
        read = reads.get(first)
        channels = None if read is None else removed_positions(read, marked)
        expected, found = _outputs(name, gone, channels, (whole, cut), generator)
        absolute, scale = _largest(expected - found), _largest(expected)
        relative = absolute / scale if 0 < scale < math.inf else absolute
        worst_abs, worst_rel = max(worst_abs, absolute), max(worst_rel, relative)
        if not relative <= TOLERANCE:
            raise _unequal(f"{name!r} differs by {relative:.3g} of its largest output")
    groups = sum(1 for channels in removed.values() if tuple(channels))
    method = METHOD.format(groups=groups, tensors=compared, rows=ROWS, where=where)
    return Verification(method, worst_abs, worst_rel, TOLERANCE, equivalent=True)


def _gone(graph: ChannelGraph, tensor: str, shape: tuple[int, ...], marked: Marks) -> list[Marks]:
    """For every axis of a tensor, which positions leave it."""
    return [
        graph.removed_from(tensor, axis, marked) if (tensor, axis) in graph.origins else np.zeros(size, bool)
        for axis, size in enumerate(shape)
    ]


def _grouped_reads(graph: ChannelGraph) -> dict[str, NDArray[np.int64]]:
    """Weight of a grouped convolution → the axis of the channels that it reads."""
    trace, made = graph.traces[0], graph.propagation.outputs[0]
    axes = {op.outputs[0].number: made[op.index] for op in trace.operations if op.index in made}
    found = {}
    for op in trace.operations:
        if op.name != "aten.convolution" or op.args[6] or op.args[8] == 1:  # transposed, one group
            continue
        read, weight = op.args[:2]
        if weight.name is not None and read.number in axes:
            found[weight.name] = axes[read.number][1]
    return found


def _outputs(
    name: str,
    gone: list[Marks],
    channels: Marks | None,
    sides: tuple[Side, Side],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What the masked whole layer and the cut one compute for some of their outputs, (n,) each."""
    whole, cut = sides
    kept = np.flatnonzero(~gone[0])
    if len(gone) == 1:  # a bias, a norm's scale: as many products as numbers, all of them
        x = torch.randn(len(kept), generator=generator, dtype=torch.float64)
        return x * whole.rows(name, kept), x * cut.rows(name, np.arange(len(kept)))
    places = _drawn(len(kept), generator)
    expected, found = [], []
    rows = zip(places, whole.rows(name, kept[places]), cut.rows(name, places), strict=True)
    for place, one, other in rows:
        if channels is None:
            x = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            large, small = _masked(x, gone[1:]), _selected(x, gone[1:])
        else:
            x = torch.randn((len(channels), *one.shape[1:]), generator=generator, dtype=torch.float64)
            large = _slot(_masked(x, [channels]), one, int(kept[place]), len(gone[0]))
            small = _slot(_selected(x, [channels]), other, int(place), len(kept))
        if small.shape != other.shape:
            raise _unequal(f"{name!r} reads {tuple(other.shape)} where {tuple(small.shape)} is left")
        expected.append((one * large).sum())
        found.append((other * small).sum())
    return torch.stack(expected), torch.stack(found)


def _drawn(count: int, generator: torch.Generator) -> NDArray[np.int64]:
    """The first, the last and some others of `count` rows."""
    others = torch.randperm(count, generator=generator)[: max(0, ROWS - 2)].tolist()
    return np.unique(np.array([0, count - 1, *others], dtype=np.int64))


def _masked(x: Tensor, masks: list[Marks]) -> Tensor:
    for axis, mask in enumerate(masks):
        x = x.index_fill(axis, torch.from_numpy(np.flatnonzero(mask)), 0)
    return x


def _selected(x: Tensor, masks: list[Marks]) -> Tensor:
    for axis, mask in enumerate(masks):
        x = x.index_select(axis, torch.from_numpy(np.flatnonzero(~mask)))
    return x


def _slot(x: Tensor, row: Tensor, number: int, filters: int) -> Tensor:
    """Of the input channels x (C, …) those that one of the filters of a grouped convolution reads."""
    width = row.shape[0]
    each = filters * width // max(1, len(x))  # filters of one group
    group = number // max(1, each)
    return x[group * width : (group + 1) * width]


def _largest(tensor: Tensor) -> float:
    """The largest magnitude; infinite where a value is no number, so that no proof passes on it."""
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    return math.inf if math.isnan(largest) else largest


def _unequal(what: str) -> WorkFailed:
    return WorkFailed(
        f"the pruned network does not compute what the masked original computes: {what}",
        hints=["nothing was written", "this is a fault of prunecli: please report the architecture"],
    )
