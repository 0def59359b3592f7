"""The latency of a network without some of its channels: its operations, measured one by one, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.latency.measuring import measure
from prunecli.latency.pieces import Keep, Piece, keeping, steps_of, whole

ANCHORS = 6  # operations that are measured again with every further shape


@dataclass(frozen=True)
class LayerLatency:
    """One operation: the module that it stands in, the shapes of what it makes, and how long it takes.

    Seconds are None where the operation does not run outside of its network.
    """

    name: str
    operation: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    seconds_before: float | None
    seconds_after: float | None


class LatencyTable:
    """How long inference takes, layer by layer, whole and without channels; nothing is cut to find it out.

    Each operation is measured once at each of its shapes, on `device` with `threads` (None: as many as torch
    takes), on `batch` inputs; `known` are seconds by key from an earlier table of the same machine. What the
    sum leaves out is what Python does between operations, and the system where memory is not kept
    (`memory_kept`): compare sums with sums, and time whole networks to be sure.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        *,
        batch: int = 1,
        threads: int | None = None,
        device: str = "cpu",
        known: Mapping[str, float | None] | None = None,
    ) -> None:
        self._graph = graph
        self._steps = steps_of(graph, batch=batch)
        self._device = device
        self._threads = threads
        self._whole = {piece.key: piece for piece in self._pieces(whole)}
        self.known: dict[str, float | None] = dict(known or {})
        """Seconds of what was measured so far, by key."""

    def seconds(self, removed: Mapping[str, Iterable[int]]) -> float:
        """The sum over all operations when channels (by group name) are removed; {} is the whole network."""
        pieces = self._measured(self._keep(removed))
        return sum(self.known[piece.key] or 0.0 for piece in pieces)

    def share_left(self, removed: Mapping[str, Iterable[int]], *, measured: float | None = None) -> float:
        """The share of the latency that is left when channels (by group name) are removed.

        `measured` are the seconds that the whole network was found to take: what they are more than the sum
        over its operations no pruning saves.
        """
        before = self.seconds({})
        constant = max(0.0, (measured or 0.0) - before)
        return (self.seconds(removed) + constant) / (before + constant)

    def rows(self, removed: Mapping[str, Iterable[int]]) -> tuple[LayerLatency, ...]:
        """Every operation that does work, in order, before and after channels (by group name) are removed."""
        keep = self._keep(removed)
        pairs = zip(self._steps, self._measured(whole), self._measured(keep), strict=True)
        return tuple(
            LayerLatency(
                step.place,
                before.name,
                step.shape(whole),
                step.shape(keep),
                self.known[before.key],
                self.known[after.key],
            )
            for step, before, after in pairs
        )

    def _keep(self, removed: Mapping[str, Iterable[int]]) -> Keep:
        return keeping(self._graph.marked(removed))

    def _pieces(self, keep: Keep) -> tuple[Piece, ...]:
        return tuple(step.piece(keep) for step in self._steps)

    def _measured(self, keep: Keep) -> tuple[Piece, ...]:
        pieces = self._pieces(keep)
        for wanted in (self._whole, {piece.key: piece for piece in pieces}):
            missing = [piece for key, piece in wanted.items() if key not in self.known]
            if missing:
                self._measure(missing, self._anchors())
        return pieces

    def _anchors(self) -> list[Piece]:
        """The operations of the whole network that take longest, of those that are measured already."""
        found = [piece for key, piece in self._whole.items() if self.known.get(key)]
        return sorted(found, key=lambda piece: -(self.known[piece.key] or 0.0))[:ANCHORS]

    def _measure(self, missing: Sequence[Piece], anchors: Sequence[Piece]) -> None:
        """Measure beside `anchors`: where these take longer than they did, so does the rest, by as much."""
        found = measure([*missing, *anchors], device=self._device, threads=self._threads)
        again = [found[piece.key] for piece in anchors]
        before = sum(self.known[piece.key] or 0.0 for piece in anchors)
        slower = (
            np.sum([each.seconds for each in again if each is not None], axis=0) / before if again else 1.0
        )
        for piece in missing:
            timing = found[piece.key]
            self.known[piece.key] = (
                None if timing is None else float(np.median(np.asarray(timing.seconds) / slower))
            )
