"""What limits an allocation: protected layers, smallest widths, rounding, ratios of single layers."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from prunecli.errors import WrongUse, nearest
from prunecli.graph.branches import residual_sums
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import ChannelGroup
from prunecli.surgery.scattering import is_scatter

COUPLED, INNER, SCATTER = RESIDUAL_MODES = ("coupled", "inner", "scatter")
TIED = {
    INNER: "tied by a residual sum (--residual inner)",
    SCATTER: "tied by a residual sum (--residual scatter)",
}


@dataclass(frozen=True)
class Bounds:
    """`min_channels` stay in every group; kept widths are multiples of `round_to`.

    `protect` and the keys of `layer_ratio` are globs over layer names; a group belongs to a glob when one of
    the layers whose filters make its channels does.
    `residual` "inner" leaves channels alone that are tied by a residual sum, and those that are scattered
    into one; "scatter" leaves the former only.
    """

    min_channels: int = 1
    round_to: int = 1
    protect: tuple[str, ...] = ()
    layer_ratio: Mapping[str, float | Fraction] = field(default_factory=dict)
    residual: str = COUPLED

    def at(self, share: float | Fraction) -> Bounds:
        """The same with `share` of the layers' own ratios: they follow a schedule as the others do."""
        part = Fraction(str(share))
        own = {glob: Fraction(str(ratio)) * part for glob, ratio in self.layer_ratio.items()}
        return replace(self, layer_ratio=own)

    def least(self, channels: int) -> int:
        """How many of so many channels stay in any case."""
        return min(channels, max(1, self.min_channels))

    def step(self, unit: int = 1) -> int:
        """What widths are multiples of where channels leave `unit` at a time."""
        return math.lcm(self.round_to, unit)


def protected_by(graph: ChannelGraph, bounds: Bounds) -> dict[str, str]:
    """Prunable groups that the bounds protect, with the reason; WrongUse for a glob that fits no layer."""
    names = [layer.name for layer in graph.layers]
    for glob in (*bounds.protect, *bounds.layer_ratio):
        if not fnmatch.filter(names, glob):
            near = nearest(glob, names)
            hints = [f"did you mean {near!r}?"] if near else []
            raise WrongUse(f"no layer is called {glob!r}", hints=[*hints, "see: prunecli inspect"])
    residual = _residual_reasons(graph, bounds)
    found: dict[str, str] = {}
    for group in graph.prunable:
        layers = produced_by(graph, group)
        fitting = [glob for glob in bounds.protect if fnmatch.filter(layers, glob)]
        if fitting:
            found[group.name] = f"protected by --protect {fitting[0]}"
        elif group.name in residual:
            found[group.name] = residual[group.name]
    return found


def _residual_reasons(graph: ChannelGraph, bounds: Bounds) -> dict[str, str]:
    """The prunable groups that stay whole for the sake of a residual sum, with the reason."""
    if bounds.residual == COUPLED:
        return {}
    tied = residual_labels(graph)
    found = {}
    for group in graph.prunable:
        if tied.intersection(group.labels.tolist()):
            found[group.name] = TIED[bounds.residual]
        elif bounds.residual == INNER and any(is_scatter(member.tensor) for member in group.members):
            found[group.name] = "scattered into a residual sum (--residual inner)"
    return found


def within_bounds(wanted: int, channels: int, bounds: Bounds, *, unit: int = 1) -> tuple[int, str]:
    """How many of `channels` may leave when `wanted` should, and the bound that changed it.

    They leave `unit` at a time.
    """
    least = bounds.least(channels)
    kept = max(channels - wanted, least)
    rule = f"at least {bounds.min_channels} channels stay" if kept != channels - wanted else ""
    step = bounds.step(unit)
    rounded = min(channels, -(-kept // step) * step)
    if rounded != kept:
        rule = f"{kept} kept channels rounded up to {rounded}"
    return channels - rounded, rule


def produced_by(graph: ChannelGraph, group: ChannelGroup) -> list[str]:
    """The layers whose filters make the group's channels."""
    axes = {(layer.weight, layer.filter_axis): layer.name for layer in graph.layers}
    return [axes[m.tensor, m.axis] for m in group.members if (m.tensor, m.axis) in axes]


def ratio_of(
    graph: ChannelGraph, group: ChannelGroup, bounds: Bounds, ratio: float | Fraction
) -> float | Fraction:
    """The group's own ratio: the last glob that fits one of its layers, else `ratio`."""
    layers = produced_by(graph, group)
    fitting = [own for glob, own in bounds.layer_ratio.items() if fnmatch.filter(layers, glob)]
    return fitting[-1] if fitting else ratio


def residual_labels(graph: ChannelGraph) -> set[int]:
    """Labels of channels at which two activations are added: those of the sum and of both terms."""
    trace, outputs = graph.traces[0], graph.propagation.outputs[0]
    sums = {operation.index: terms for operation, *terms in residual_sums(trace)}
    labels: set[int] = set()
    made: dict[int, int] = {}
    for operation in trace.operations:
        terms = sums.get(operation.index, [])
        added = [made[ref.number] for ref in terms if ref.number in made]
        for index in [operation.index, *added] if terms else []:
            labels.update(_labels(outputs.get(index, ())))
        made.update((ref.number, operation.index) for ref in operation.outputs[:1])
    return labels


def _labels(axes: Iterable[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> set[int]:
    return {int(label) for axis in axes for label in np.unique(axis) if label}
