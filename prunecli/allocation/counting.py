"""How many channels leave each group at a ratio, before any bound: one function a scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from prunecli.allocation.candidates import Candidate, Counts, alike, leaving_order
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.latency.savings import weighted_ratios
from prunecli.scoring.ranking import removed_count

LOCAL, GLOBAL, ISOMORPHIC, BY_LATENCY, EXACT = SCOPES = ("local", "global", "isomorphic", "latency", "exact")

RANKED_TOGETHER = (GLOBAL, ISOMORPHIC)
"""Scopes that compare channels of one group with those of another by their scores alone."""

Ratio = float | Fraction


def counts_at(graph: ChannelGraph, candidates: Sequence[Candidate], ratio: Ratio, scope: str) -> Counts:
    """How many channels leave each group at `ratio`, a fraction of what there was before any cut.

    Raises WrongUse for the scope that needs a target.
    """
    return _COUNTS[scope](graph, candidates, ratio)


def count_of(candidate: Candidate, ratio: Ratio) -> int:
    """How many more leave the group when a fraction of what it once had does."""
    return max(0, removed_count(ratio, units=candidate.before) - candidate.gone)


def _local(_: ChannelGraph, candidates: Sequence[Candidate], ratio: Ratio) -> Counts:
    """The same share of every group."""
    return {each.name: count_of(each, ratio) for each in candidates}


def _global(_: ChannelGraph, candidates: Sequence[Candidate], ratio: Ratio) -> Counts:
    """The share of all channels together, the lowest scores of the whole network."""
    if not candidates:
        return {}
    values = np.concatenate([each.scores for each in candidates])
    owner = np.concatenate([np.full(each.channels, i) for i, each in enumerate(candidates)])
    limit = np.array(
        [each.channels - min(each.channels, max(1, each.bounds.min_channels)) for each in candidates]
    )
    gone = sum(each.gone for each in candidates)
    left = max(0, removed_count(ratio, units=values.size + gone) - gone)
    taken = np.zeros(len(candidates), dtype=np.int64)
    for unit in leaving_order(values, np.concatenate([each.marked for each in candidates])):
        if not left:
            break
        if taken[owner[unit]] < limit[owner[unit]]:
            taken[owner[unit]] += 1
            left -= 1
    return {each.name: int(taken[i]) for i, each in enumerate(candidates)}


def _isomorphic(graph: ChannelGraph, candidates: Sequence[Candidate], ratio: Ratio) -> Counts:
    """The share of every class of groups that are alike, the lowest scores of the class."""
    found: dict[str, int] = {}
    for members in alike(graph, candidates):
        found.update(_global(graph, members, ratio))
    return found


def _by_latency(_: ChannelGraph, candidates: Sequence[Candidate], ratio: Ratio) -> Counts:
    """A share of every group by its weight: more of those that cost more time than their MACs say."""
    shares = weighted_ratios({each.name: each.weight for each in candidates}, float(ratio))
    return {each.name: count_of(each, shares[each.name]) for each in candidates}


def _exact(_: ChannelGraph, __: Sequence[Candidate], ___: Ratio) -> Counts:
    raise WrongUse(
        "--scope exact weighs what channels cost, so it needs a target",
        hints=["for example: --target macs=0.5"],
    )


_COUNTS: dict[str, Callable[[ChannelGraph, Sequence[Candidate], Ratio], Counts]] = {
    LOCAL: _local,
    GLOBAL: _global,
    ISOMORPHIC: _isomorphic,
    BY_LATENCY: _by_latency,
    EXACT: _exact,
}
