"""What a strategy ranks a network with: scores, bounds and ratio of one pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation, GroupScores, allocate
from prunecli.allocation.counting import BY_LATENCY
from prunecli.allocation.scales import Curve
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.latency.layers import LatencyTable
from prunecli.latency.savings import seconds_per_mac
from prunecli.scoring.filter_scores import FilterScores
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.contract import Ranked
from prunecli.workflows.aiming import Aim
from prunecli.workflows.calibrating import Scorer
from prunecli.workflows.prune_request import PruneRequest
from prunecli.workflows.sensitivity import read_curves


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """How groups are compared with each other: the scale, and what was measured of them for it."""

    normalization: str | None = None
    sensitivity: Mapping[str, Curve] | None = None
    weights: Mapping[str, float] | None = None


def comparing(asked: PruneRequest, model: nn.Module, graph: ChannelGraph, *, multiple: int) -> Comparing:
    """What a request needs for the comparison of groups; widths go by `multiple` where time is measured."""
    weights = None
    if asked.scope == BY_LATENCY:
        table = LatencyTable(graph, batch=asked.latency_batch, device=asked.opening.device)
        weights = seconds_per_mac(table, graph, multiple=multiple)
    curves = None if asked.sensitivity is None else read_curves(asked.sensitivity, model)
    return Comparing(normalization=asked.scale, sensitivity=curves, weights=weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranker:
    """Ranks networks of `graph`; `widths` are those of its groups before any cut.

    `asked` holds criterion, ratio and scope. `saved` scores take the place of the scorer's. Without an `aim`
    the ratio holds.
    """

    graph: ChannelGraph
    scorer: Scorer
    asked: Mapping[str, Any]
    bounds: Bounds
    widths: Mapping[str, int]
    saved: FilterScores | None
    comparing: Comparing = field(default_factory=Comparing)
    aim: Aim | None = None

    def scores(self, network: nn.Module) -> GroupScores:
        """The groups' scores by the network's present weights."""
        filters = self.saved if self.saved is not None else self.scorer.score(network)
        return score_groups(self.graph.prunable, self.graph.layers, filters, self.asked["criterion"])

    def rank(self, network: nn.Module) -> Ranked:
        """From the network's present weights to what leaves at a share of what is asked for."""
        scores, aim = self.scores(network), self.aim
        ratio = Fraction(str(self.asked["ratio"] or 0.0))
        return lambda share, first=MappingProxyType({}): self.chosen(
            scores,
            ratio=ratio * Fraction(str(share)),
            goal=None if aim is None else aim.goal.at(float(share)),
            bounds=self.bounds.at(share),
            first=first,
            left_out=None if aim is None else aim.unfollowed,
        )

    def chosen(self, scores: GroupScores, **wanted: Any) -> Allocation:
        """The channels that leave by the scores, in this scope and on this scale."""
        return allocate(
            self.graph,
            scores,
            scope=self.asked["scope"],
            normalization=self.comparing.normalization,
            sensitivity=self.comparing.sensitivity,
            weights=self.comparing.weights,
            widths=self.widths,
            **wanted,
        )

    def rank_by(self, network: nn.Module, criteria: Sequence[str]) -> dict[str, GroupScores]:
        """Criterion → the groups' scores by it."""
        filters = replace(self.scorer, criteria=tuple(criteria)).score(network)
        groups, layers = self.graph.prunable, self.graph.layers
        return {each: score_groups(groups, layers, filters, each) for each in criteria}
