"""From chosen channels to a plan that was tried out: cuts, attributes, and a trial run on the meta device.

Shapes say most attributes (`out_channels`, `num_features`). Other integers, such as the padding of a
parameter-free shortcut or a number of heads, are found by probing: change an integer attribute of the
calling module, run that module again on the meta device, and see whether the argument in question
follows. What cannot be followed protects its channels, and the plan is made again without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunecli.errors import InputRefused, WorkFailed
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.collection import without_collection
from prunecli.graph.labels import Axis, removed_positions
from prunecli.graph.meta import meta_copy
from prunecli.surgery.attributes import size_attributes
from prunecli.surgery.coordinates import chosen_channels
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.following import find_attribute
from prunecli.surgery.plan import AttributeChange, Cut, GroupCut, Plan
from prunecli.surgery.trial import Mismatch, surroundings, try_out

MAX_TRIALS = 400


@dataclass(frozen=True)
class Planned:
    """A plan that ran, and the groups that had to be left out for it, with the reason.

    `found` says that an attribute or a constant follows which no shape shows.
    """

    plan: Plan
    protected: Mapping[str, str]
    found: bool = False


@without_collection()
def make_plan(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> Planned:
    """The plan that drops channels `removed` (indices per group name), proved by a run on shapes.

    Groups whose channels turn out to depend on a number that cannot be followed are left out and named.
    Raises WorkFailed when no trial runs through.
    """
    chosen = _chosen(removed)
    protected: dict[str, str] = {}
    for _ in range(MAX_TRIALS):
        found = _tried(graph, chosen)
        if isinstance(found, Planned):
            return replace(found, protected=protected)
        guilty = _guilty(graph, chosen, found)
        if not guilty:
            raise WorkFailed(f"the cut network does not run: {found.mismatch.reason}")
        for name in guilty:
            protected[name] = found.mismatch.reason
            del chosen[name]
    raise WorkFailed("the cut network does not run after many trials")


def runs_without(graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> bool:
    """Whether a plan for all of these channels (indices per group name) runs, none left out."""
    return isinstance(_tried(graph, _chosen(removed)), Planned)


@dataclass(frozen=True, eq=False)
class _Stuck:
    """A number that cannot be followed, and what the attributes count that were changed before."""

    mismatch: Mismatch
    followed: Sequence[Axis]


def _chosen(removed: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(sorted(channels)) for name, channels in removed.items() if channels}


def _tried(graph: ChannelGraph, chosen: Mapping[str, tuple[int, ...]]) -> Planned | _Stuck:
    """The plan for just these channels, its numbers followed one by one as far as they can be."""
    changes: dict[tuple[str, str], AttributeChange] = {}
    followed: list[Axis] = []
    marked = graph.marked(chosen)
    cuts = _cuts(graph, marked, chosen)
    for _ in range(MAX_TRIALS):
        plan, cut = _draft(graph, cuts, marked, changes)
        mismatch = try_out(graph, cut, marked)
        if not isinstance(mismatch, Mismatch):
            return Planned(replace(plan, scalings=mismatch), {}, found=bool(changes or mismatch))
        if not _follow(graph, mismatch, marked, changes):
            return _Stuck(mismatch, followed)
        followed += mismatch.axes
    raise WorkFailed("the cut network does not run after many trials")


def _follow(
    graph: ChannelGraph,
    mismatch: Mismatch,
    marked: NDArray[np.bool_],
    changes: dict[tuple[str, str], AttributeChange],
) -> bool:
    """Add the changes of attributes that a mismatch asks for; whether one was found that was not there."""
    number = graph.traces.index(mismatch.trace)
    for literal in mismatch.wanted:
        new = False
        for change in find_attribute(graph, number, literal, marked):
            key = change.module, change.attribute
            known = changes.get(key)
            changes[key] = change if known is None else _joined(known, change)
            new |= changes[key] != known
        if new:
            return True
    return False


def _joined(first: AttributeChange, second: AttributeChange) -> AttributeChange:
    """One change of an attribute from two, which may concern different places of a tuple."""
    if not (isinstance(first.after, tuple) and isinstance(first.before, tuple)):
        return first
    if not isinstance(second.after, tuple):
        return first
    places = zip(first.before, first.after, second.after, strict=True)
    return replace(first, after=tuple(old if old != before else new for before, old, new in places))


def plan_part(graph: ChannelGraph, whole: Planned, removed: Mapping[str, Iterable[int]]) -> Planned:
    """The plan for a part of the channels of a plan that ran, tried out again only where that is needed.

    Where no number had to be found for all of them, none has to be for some.
    """
    if whole.found or whole.protected:
        return make_plan(graph, removed)
    chosen = _chosen(removed)
    marked = graph.marked(chosen)
    return Planned(_draft(graph, _cuts(graph, marked, chosen), marked, {})[0], {})


def follow_plan(graph: ChannelGraph, plan: Plan, model: nn.Module) -> tuple[Planned, nn.Module]:
    """Carry a saved plan out on `model` in place; raises InputRefused when it does not fit this network.

    Its cuts must be of this network's tensors, and what whole channels come to here. A plan that was put
    together of several is carried out as one.
    """
    tensors = [*graph.model.named_parameters(), *graph.model.named_buffers()]
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors}
    for cut in plan.cuts:
        found = shapes.get(cut.tensor, ())
        if len(found) <= cut.axis or found[cut.axis] != cut.size:
            raise InputRefused(
                f"the plan cuts {cut.tensor!r} of {cut.size} positions along axis {cut.axis}, not found here"
            )
    planned = make_plan(graph, chosen_channels(graph, plan))
    if set(planned.plan.cuts) != set(plan.cuts):
        raise InputRefused(
            "the plan was made for another network: its cuts are not what its groups come to here"
        )
    return planned, carry_out(planned.plan, model)


def _cuts(graph: ChannelGraph, marked: NDArray[np.bool_], chosen: Mapping[str, tuple[int, ...]]) -> Plan:
    """What leaves the tensors with the marked labels; no attributes yet."""
    leaving: dict[int, tuple[int, ...]] = {}  # by identity: most dimensions have their axis from another
    cuts = []
    for (tensor, axis), labels in graph.origins.items():
        if id(labels) not in leaving:
            leaving[id(labels)] = tuple(np.flatnonzero(removed_positions(labels, marked)).tolist())
        gone = leaving[id(labels)]
        if gone:
            cuts.append(Cut(tensor, axis, len(labels), gone))
    cuts.sort(key=lambda cut: (cut.tensor, cut.axis))
    groups = tuple(
        GroupCut(group.name, group.channels, chosen[group.name])
        for group in graph.groups
        if group.name in chosen
    )
    return Plan(tuple(cuts), (), groups)


def _draft(
    graph: ChannelGraph,
    cuts: Plan,
    marked: NDArray[np.bool_],
    changes: Mapping[tuple[str, str], AttributeChange],
) -> tuple[Plan, nn.Module]:
    """The plan as far as shapes and found changes say it, and the network cut by it, on the meta device."""
    cut = carry_out(cuts, meta_copy(graph.model))
    attributes = {(a.module, a.attribute): a for a in size_attributes(graph, cut, marked)}
    attributes.update(changes)
    plan = replace(cuts, attributes=tuple(attributes.values()))
    return plan, carry_out(replace(plan, cuts=()), cut)


def _guilty(graph: ChannelGraph, chosen: Mapping[str, tuple[int, ...]], stuck: _Stuck) -> list[str]:
    """The chosen groups nearest to a mismatch.

    Those on its axes, else those that its operation meets, else those that its callers read, else those that
    changed attributes count, else those with a tensor in a module that called it, the innermost first.
    """
    mismatch = stuck.mismatch
    for axes in (*surroundings(graph, mismatch), stuck.followed):
        found = _touching(graph, chosen, axes)
        if found:
            return found
    trace = mismatch.trace
    call = trace.calls[trace.operations[min(mismatch.operation, len(trace.operations) - 1)].call]
    while True:
        inside = f"{call.path}." if call.path else ""
        found = [
            group.name
            for group in graph.groups
            if group.name in chosen and any(member.tensor.startswith(inside) for member in group.members)
        ]
        if found or not call.number:
            return found
        call = trace.calls[call.parent]


def _touching(graph: ChannelGraph, chosen: Mapping[str, tuple[int, ...]], axes: Sequence[Axis]) -> list[str]:
    """The chosen groups whose labels stand on the given axes."""
    labels = np.concatenate([axis.reshape(-1) for axis in axes]) if axes else np.zeros(0, np.int64)
    return [group.name for group in graph.groups_on(labels) if group.name in chosen]
