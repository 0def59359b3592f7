"""Which widths a pruning leaves: rounded to what the machine likes, and a word where they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prunecli.allocation.bounds import Bounds
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.latency.widths import liked_widths, slow_widths

AUTO = "auto"
USUAL = 8
"""Blocks of most vector units and tensor cores, for a word of warning where nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """The bounds with the multiple that widths are rounded to; `measured` on this machine or given."""

    bounds: Bounds
    measured: bool
    notes: tuple[str, ...] = ()

    @property
    def multiple(self) -> int:
        """What widths are held against."""
        return self.bounds.round_to if self.measured else USUAL

    def document(self, graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        """The multiple, and the layers whose widths are none once channels (by group name) are removed."""
        slow = slow_widths(graph, removed, multiple=self.multiple)
        return {"multiple": self.multiple, "measured": self.measured, "slow": [*slow.layers]}

    def remarks(self, graph: ChannelGraph, removed: Mapping[str, Iterable[int]]) -> tuple[str, ...]:
        """A word of warning where there are such layers."""
        return slow_widths(graph, removed, multiple=self.multiple).remarks


def rounding(bounds: Bounds, graph: ChannelGraph, *, measure: bool, device: str) -> Rounding:
    """The rounding that was asked for; with `measure` the multiple is found out here, which takes seconds."""
    if not measure:
        return Rounding(bounds=bounds, measured=False)
    liked = liked_widths(graph, device=device)
    return Rounding(bounds=replace(bounds, round_to=liked.multiple), measured=True, notes=(liked.remark,))
