"""How each cost that a target may name is counted without its channels, and measured of a plan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import nn

from prunecli.allocation.goals import Left
from prunecli.allocation.targets import FLOPS, LATENCY, MACS, PARAMS, SIZE
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.costs_left import bytes_left, macs_left, params_left
from prunecli.graph.inputs import weights_type
from prunecli.latency.layers import LatencyTable
from prunecli.latency.memory import memory_kept
from prunecli.latency.timing import Timing, ratio_of, time_side_by_side
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan

# Relative: two medians of interleaved rounds.
LATENCY_WIDTH = 0.003
LATENCY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One cost of one network.

    `left` counts what remains without channels, and never rises when more leave; `of_plan` measures it of a
    plan. Where both are the same the cost is `counted`. `foretell` is nearer to what is measured than `left`,
    where there is such.
    """

    before: float
    left: Left = field(repr=False)
    of_plan: Callable[[Plan], float] = field(repr=False)
    counted: bool = True
    foretell: Callable[[Mapping[str, Sequence[int]]], float] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gauged:
    """What is to be gauged: a network and its graph, the bytes of the file that a plan would come to.

    Latency is that of inference on `batch` inputs on `device`.
    """

    graph: ChannelGraph
    model: nn.Module
    file_bytes: Callable[[Plan], int]
    device: str
    batch: int


def gauge_of(kind: str, gauged: Gauged) -> Gauge:
    """The gauge of a kind of cost."""
    return _GAUGES[kind](gauged)


_Count: TypeAlias = Callable[[ChannelGraph, Mapping[str, Sequence[int]]], float]


def _counted(count: _Count) -> Callable[[Gauged], Gauge]:
    def gauge(gauged: Gauged) -> Gauge:
        def of_plan(plan: Plan) -> float:
            return count(gauged.graph, plan.removed)

        return Gauge(before=count(gauged.graph, {}), left=count, of_plan=of_plan)

    return gauge


def _size(gauged: Gauged) -> Gauge:
    """Bytes: a share is one of the tensors, what remains is the whole file with its plan and history."""
    return Gauge(
        before=bytes_left(gauged.graph, {}), left=bytes_left, of_plan=gauged.file_bytes, counted=False
    )


def _latency(gauged: Gauged) -> Gauge:
    """Seconds of the whole network, timed beside the cut one.

    MACs stand for it where channels are chosen, since more channels may be faster than fewer. A table of
    single operations, each measured at its very shapes, foretells which MACs to begin with.
    """
    graph, device = gauged.graph, gauged.device
    network = copy.deepcopy(gauged.model).eval().to(device)
    run = _runner(graph, gauged)
    (whole,) = _timed([run(network)])
    table = LatencyTable(graph, batch=gauged.batch, device=device)
    macs = macs_left(graph, {})

    def of_plan(plan: Plan) -> float:
        first, second = _timed([run(network), run(carry_out(plan, copy.deepcopy(network)))])
        return whole.median * ratio_of(second, first).value

    def foretell(removed: Mapping[str, Sequence[int]]) -> float:
        return whole.median * table.share_left(removed, measured=whole.median)

    return Gauge(
        before=whole.median,
        left=lambda of, removed: whole.median * macs_left(of, removed) / macs,
        of_plan=of_plan,
        counted=False,
        foretell=foretell,
    )


def _timed(runs: Sequence[Callable[[], object]]) -> tuple[Timing, ...]:
    """Side by side, in memory that stays with the process: otherwise the system takes part in every call."""
    with memory_kept():
        return time_side_by_side(runs, width=LATENCY_WIDTH, seconds=LATENCY_SECONDS, warm_up=3)


def _runner(graph: ChannelGraph, gauged: Gauged) -> Callable[[nn.Module], Callable[[], object]]:
    """From a network to one inference of it, on random inputs that all have in common."""
    generator = torch.Generator().manual_seed(0)
    made = graph.calling.random(generator, weights_type(gauged.model), batch=gauged.batch)
    inputs = [each.to(gauged.device) for each in made]

    def of(network: nn.Module) -> Callable[[], object]:
        @torch.inference_mode()
        def run() -> object:
            return graph.calling.run(network, inputs)

        return run

    return of


_GAUGES: dict[str, Callable[[Gauged], Gauge]] = {
    MACS: _counted(macs_left),
    FLOPS: _counted(lambda graph, removed: 2 * macs_left(graph, removed)),
    PARAMS: _counted(params_left),
    SIZE: _size,
    LATENCY: _latency,
}
