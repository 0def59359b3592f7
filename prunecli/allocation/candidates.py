"""Groups that may lose channels, each with the order in which its channels would leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.bounds import Bounds, within_bounds
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.groups import ChannelGroup
from prunecli.scoring.ranking import removal_order

Counts = Mapping[str, int]
"""Group name → how many of its channels leave."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One group with its `scores` (channels,) on the scale of all groups.

    The channels `first` leave before others, `gone` have left it in earlier cuts. The bounds say to how many
    channels it may shrink. `weight` is how much more it is to lose than others, where a scope asks for that.
    Channels leave `unit` at a time; with each such step so many of every one of the `followers` leave too.
    """

    group: ChannelGroup
    scores: NDArray[np.float64]
    bounds: Bounds
    first: Sequence[int] = ()
    gone: int = 0
    weight: float = 1.0
    unit: int = 1
    followers: tuple[tuple[Candidate, int], ...] = ()

    @property
    def name(self) -> str:
        """The group's."""
        return self.group.name

    @property
    def channels(self) -> int:
        """How many the group has."""
        return self.group.channels

    @property
    def before(self) -> int:
        """How many it had before any cut."""
        return self.channels + self.gone

    @cached_property
    def marked(self) -> NDArray[np.bool_]:
        """(channels,) whether each is among the first to leave."""
        marked = np.zeros(self.channels, dtype=bool)
        marked[list(self.first)] = True
        return marked

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(channels,) from the first to leave to the last: those that are marked, then by score."""
        return leaving_order(self.scores, self.marked)

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """How many channels may be gone, rising, from none on: what stays is within the bounds."""
        step = self.bounds.step(self.unit)
        least = -(-max(1, self.bounds.min_channels, self._kept_for_followers) // step) * step
        kept = [self.channels, *range((self.channels - 1) // step * step, least - 1, -step)]
        return self.channels - np.array(kept, dtype=np.int64)

    @property
    def _kept_for_followers(self) -> int:
        """How many channels must stay so that none of the followers loses more than the bounds allow."""
        spare = (
            (other.channels - other.bounds.least(other.channels)) // each for other, each in self.followers
        )
        return self.channels - self.unit * min(spare, default=self.channels // self.unit)

    def bounded(self, wanted: int) -> tuple[int, str]:
        """How many channels may leave when `wanted` should, and the bound that changed it."""
        return within_bounds(
            min(wanted, self.channels - self._kept_for_followers), self.channels, self.bounds, unit=self.unit
        )

    def leaving(self, count: int) -> dict[str, tuple[int, ...]]:
        """Group name → the channels that leave when `count` of this one's do, the followers' among them."""
        steps = count // self.unit
        found = {other.name: other.lowest(steps * each) for other, each in self.followers}
        return {
            name: channels for name, channels in {self.name: self.lowest(count), **found}.items() if channels
        }

    def step_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(levels − 1,) the mean of `values` (channels,) over the channels that each further level takes."""
        if len(self.levels) < 2:
            return np.zeros(0)
        leaving = values[self.order][: self.levels[-1]]
        return np.asarray(np.add.reduceat(leaving, self.levels[:-1]) / np.diff(self.levels))

    def lowest(self, count: int) -> tuple[int, ...]:
        """The `count` channels that leave first, in increasing order of their index."""
        return tuple(np.sort(self.order[:count]).tolist())


def leaving_order(scores: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Channels from the first to leave to the last: those that are marked, then by score."""
    order = removal_order(scores)
    return np.concatenate([order[first[order]], order[~first[order]]])


def alike(graph: ChannelGraph, candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """The candidates in classes whose groups pass through the same kinds of layers the same way.

    Two groups are alike when their members are the same sorts of axes of the same types of modules, as often.
    Isomorphic pruning (Fang et al. 2024, arXiv:2407.04616) ranks inside such classes only.
    """
    types = {name: type(module).__name__ for name, module in graph.model.named_modules()}
    shapes = {name: tuple(parameter.shape) for name, parameter in graph.model.named_parameters()}
    classes: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        found = []
        for member in candidate.group.members:
            module, _, own = member.tensor.rpartition(".")
            kernel = shapes.get(member.tensor, ())[2:]  # a 3 × 3 convolution is not a 1 × 1 one
            found.append((types.get(module, ""), own, member.axis, kernel))
        classes.setdefault(tuple(sorted(found)), []).append(candidate)
    return list(classes.values())
