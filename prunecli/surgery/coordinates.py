"""From a plan's cuts back to the channels of a graph's groups."""

from __future__ import annotations

import numpy as np

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import Member
from prunecli.surgery.plan import Plan


def chosen_channels(graph: ChannelGraph, plan: Plan) -> dict[str, tuple[int, ...]]:
    """Group name → the channels that leave it by `plan`, whose cuts are in the coordinates of `graph`.

    A plan that was put together of several has the groups of the last one only; its cuts are of all.
    """
    cuts = {(cut.tensor, cut.axis): cut.removed for cut in plan.cuts}
    found = {}
    for group in graph.prunable:
        member = next((m for m in group.members if (m.tensor, m.axis) in cuts), None)
        gone = () if member is None else _units(member, cuts[member.tensor, member.axis])
        if gone:
            found[group.name] = gone
    return found


def _units(member: Member, removed: tuple[int, ...]) -> tuple[int, ...]:
    """The channels all of whose positions in the member are removed."""
    left = ~np.isin(member.positions, np.asarray(removed))
    return tuple(int(unit) for unit in np.setdiff1d(member.units, member.units[left]))
