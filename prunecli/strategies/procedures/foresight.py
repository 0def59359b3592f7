"""Plans of what is going to leave a network, made once and cut step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prunecli.surgery.plan import Cut, Plan

if TYPE_CHECKING:
    from torch import nn

    from prunecli.graph.channel_graph import ChannelGraph
    from prunecli.surgery.planning import Planned

Removed = Mapping[str, tuple[int, ...]]

# Making a plan runs the network on shapes, most of a second for a hundred layers; a tuning, the trial of the
# freezing and the pruning itself begin with the same one.
_MADE: WeakKeyDictionary[ChannelGraph, tuple[dict[str, tuple[int, ...]], Planned]] = WeakKeyDictionary()


def planned_once(graph: ChannelGraph, removed: Removed) -> Planned:
    """What `make_plan` gives, made anew only where it is not the last plan that was made for this graph."""
    from prunecli.surgery.planning import make_plan

    asked = dict(removed)
    if graph not in _MADE or _MADE[graph][0] != asked:
        _MADE[graph] = (asked, make_plan(graph, asked))
    return _MADE[graph][1]


def coming_changes(done: Plan, plan: Plan) -> frozenset[str] | None:
    """The tensors that change on the way from what `done` cut to what `plan` cuts.

    None where more may change than the modules that these are in.
    """
    tensors = frozenset(cut.tensor for cut in set(plan.cuts).difference(done.cuts))
    modules = {name.rpartition(".")[0] for name in tensors}
    attributes = set(plan.attributes).difference(done.attributes)
    if plan.scalings or any(change.module not in modules for change in attributes):
        return None
    return tensors


def cut_on(network: nn.Module, done: Plan, plan: Plan) -> nn.Module:
    """Cut in place what `plan` takes and `done` did not; both are of the same whole network."""
    from prunecli.surgery.cutting import carry_out

    earlier = {(cut.tensor, cut.axis): cut for cut in done.cuts}
    cuts = []
    for cut in plan.cuts:
        before = earlier.get((cut.tensor, cut.axis))
        if before is None:
            cuts.append(cut)
            continue
        gone = set(cut.removed)
        left = tuple(place for place, position in enumerate(before.kept) if position in gone)
        if left:
            cuts.append(Cut(cut.tensor, cut.axis, len(before.kept), left))
    scalings = tuple(scaling for scaling in plan.scalings if scaling not in done.scalings)
    return carry_out(Plan(tuple(cuts), plan.attributes, (), scalings), network)
