"""The loss's slope along a gate on every feature map, image by image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import Observer, Scene
from prunecli.calibration.per_image import products
from prunecli.calibration.places import Place
from prunecli.calibration.uniting import Rows, agree
from prunecli.criteria.evidence import GateGradientEvidence
from prunecli.graph.coupling import leaving_with


class GateGradientObserver(Observer):
    """Σ_p a ∂L_b/∂a for every image b and filter; calls of a layer add up, as they share the gate."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._slopes = Rows(scene)
        self._batch: dict[str, Tensor] = {}
        self._positions: dict[str, int] = {}
        self._sizes: list[int] = []

    def begin(self, labels: Tensor) -> None:
        """Remember the batch's size."""
        self._sizes.append(len(labels))
        self._slopes.begin(len(labels))
        self._batch = {}

    def map_gradient(self, place: Place, feature_map: Tensor, gradient: Tensor) -> None:
        """Add the slopes of one call: both (B, F, P)."""
        slopes = products(feature_map, gradient)
        known = self._batch.get(place.layer)
        self._batch[place.layer] = slopes if known is None else known + slopes
        self._positions[place.layer] = feature_map.shape[2]

    def end(self) -> None:
        """File the batch."""
        for layer, slopes in self._batch.items():
            self._slopes.add(layer, slopes)

    def result(self) -> dict[str, Any]:
        """Layer → GateGradientEvidence."""
        found = self._slopes.complete()
        agree(self._positions, list(self.scene.layers), self.scene.processes)
        return {
            layer: GateGradientEvidence(
                per_image=slopes,
                coupled=self._coupled(layer, found),
                positions=self._positions[layer],
                batch_sizes=tuple(self._sizes),
            )
            for layer, slopes in found.items()
        }

    def _coupled(self, layer: str, slopes: dict[str, Tensor]) -> Tensor:
        """(n, F): the slopes of all layers whose filters leave with those of `layer`, summed."""
        producers = {(each.weight, each.filter_axis): each.name for each in self.scene.graph.layers}
        total = torch.zeros_like(slopes[layer])
        for leaving in leaving_with(self.scene.graph, self.scene.layers[layer]):
            other = slopes.get(producers.get((leaving.tensor, leaving.axis), ""))
            if other is not None:
                owner = torch.from_numpy(leaving.owner).to(total.device)
                positions = torch.from_numpy(leaving.positions).to(total.device)
                total.index_add_(1, owner, other[:, positions])
        return total
