"""Scores of one layer at a time, of weights that are read from the disk some filters at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prunecli.criteria.contract import Criterion, Needs
from prunecli.criteria.evidence import Evidence
from prunecli.criteria.specification import criterion_named
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.layers import Layer
from prunecli.scoring.evidence import collect_evidence


@dataclass(kw_only=True, eq=False)
class PieceScorer:
    """Scores layers whose weights are given one by one.

    `model` has the batch norms' tensors, and of all others at least the shapes. Criteria that look at one
    filter at a time are given `piece` of its numbers at most, or one filter; the others need the whole
    weight, in float32 or better.
    """

    model: nn.Module
    graph: ChannelGraph
    criteria: Sequence[str]
    piece: int
    seed: int = 0
    _buffers: dict[torch.dtype, Tensor] = field(default_factory=dict)

    def score(self, layer: Layer, weight: Tensor) -> dict[str, Tensor | None]:
        """Criterion → (F,) scores, None where the layer has not what the criterion reads.

        `weight` has the layer's shape; raises WrongUse for an unknown criterion.
        """
        chosen = {name: criterion_named(name) for name in self.criteria}
        alone = {name: each for name, each in chosen.items() if self._in_pieces(each, layer)}
        whole = {name: each for name, each in chosen.items() if name not in alone}
        with torch.no_grad():
            scores = {**self._whole(layer, weight, whole), **self._pieces(layer, weight, alone)}
        return {name: scores[name] for name in chosen}

    def _in_pieces(self, criterion: Criterion, layer: Layer) -> bool:
        return criterion.each_alone and criterion.needs == Needs.WEIGHT and layer.filter_axis == 0

    def _whole(
        self, layer: Layer, weight: Tensor, criteria: dict[str, Criterion]
    ) -> dict[str, Tensor | None]:
        if not criteria:
            return {}
        needs = Needs.NOTHING
        for each in criteria.values():
            needs |= each.needs
        if Needs.WEIGHT not in needs:  # the shape serves: it takes no memory
            weight = torch.zeros((), dtype=_exact(weight.dtype)).expand(weight.shape)
        evidence = collect_evidence(self.model, self.graph, layer, needs=needs, seed=self.seed, weight=weight)
        return {
            n: each.function(evidence) if each.available(evidence) else None for n, each in criteria.items()
        }

    def _pieces(
        self, layer: Layer, weight: Tensor, criteria: dict[str, Criterion]
    ) -> dict[str, Tensor | None]:
        if not criteria:
            return {}
        found: dict[str, list[Tensor]] = {name: [] for name in criteria}
        for piece in torch.split(weight, max(1, self.piece // max(1, weight[0].numel()))):
            evidence = Evidence(
                layer=layer.name, weight=layer.rows(self._widened(piece)), kernel_shape=tuple(piece.shape)
            )
            for name, each in criteria.items():
                found[name].append(each.function(evidence))
        return {name: torch.cat(parts) for name, parts in found.items()}

    def _widened(self, piece: Tensor) -> Tensor:
        """Half-precision numbers as float32, always in the same memory."""
        dtype = _exact(piece.dtype)
        if dtype == piece.dtype:
            return piece
        buffer = self._buffers.get(dtype)
        if buffer is None or buffer.numel() < piece.numel():
            buffer = self._buffers[dtype] = torch.empty(max(piece.numel(), self.piece), dtype=dtype)
        return buffer[: piece.numel()].view(piece.shape).copy_(piece)


def _exact(dtype: torch.dtype) -> torch.dtype:
    """The type in which evidence is held."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype
