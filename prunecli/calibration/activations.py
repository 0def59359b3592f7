"""Sums over feature maps: their means image by image, their size, and how often they are zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import Observer, Scene
from prunecli.calibration.places import Place
from prunecli.calibration.uniting import Rows, unite, unite_counts
from prunecli.criteria.evidence import ActivationEvidence


class PerLayerSums:
    """Sums of (F,) tensors by layer in float64, and how many numbers went into each entry."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, layer: str, values: Tensor, count: int) -> None:
        """Add (F,) sums of `count` numbers each."""
        values = values.double()
        self.sums[layer] = self.sums[layer] + values if layer in self.sums else values
        self.counts[layer] = self.counts.get(layer, 0) + count

    def unite(self, scene: Scene) -> None:
        """Make them those of all processes."""
        names = list(scene.layers)
        unite(self.sums, names, processes=scene.processes, device=scene.device)
        unite_counts(self.counts, names, scene.processes)

    def mean(self, layer: str) -> Tensor:
        """(F,): what was added, over how many numbers it was."""
        return (self.sums[layer] / self.counts[layer]).float()


class ActivationObserver(Observer):
    """Means of feature maps image by image, mean magnitude and mean length. Calls of a layer are averaged."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._pooled = Rows(scene)
        self._batch: dict[str, list[Tensor]] = {}
        self._absolute, self._length = PerLayerSums(), PerLayerSums()
        self._labels: list[Tensor] = []

    def begin(self, labels: Tensor) -> None:
        """Remember the labels."""
        self._labels.append(labels)
        self._pooled.begin(len(labels))
        self._batch = {}

    def mapped(self, place: Place, feature_map: Tensor) -> None:
        """Add a feature map (B, F, P) to the sums."""
        images, _, positions = feature_map.shape
        self._batch.setdefault(place.layer, []).append(feature_map.mean(dim=2))
        per_image = torch.linalg.vector_norm(feature_map, ord=1, dim=2)
        self._absolute.add(place.layer, per_image.sum(dim=0), images * positions)
        self._length.add(place.layer, torch.linalg.vector_norm(feature_map, dim=2).sum(dim=0), images)

    def end(self) -> None:
        """Average the calls of the batch."""
        for layer, calls in self._batch.items():
            self._pooled.add(layer, torch.stack(calls).mean(dim=0))

    def result(self) -> dict[str, Any]:
        """Layer → ActivationEvidence."""
        labels = torch.cat(self._labels)
        self._absolute.unite(self.scene)
        self._length.unite(self.scene)
        return {
            layer: ActivationEvidence(each, self._absolute.mean(layer), self._length.mean(layer), labels)
            for layer, each in self._pooled.complete().items()
        }


class ZeroShareObserver(Observer):
    """Share of exact zeros behind a rectifier."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._zeros = PerLayerSums()

    def mapped(self, place: Place, feature_map: Tensor) -> None:
        """Count the zeros of a feature map (B, F, P)."""
        if place.rectified:
            images, _, positions = feature_map.shape
            # Image by image into one buffer: a tenth of the time of count_nonzero.
            is_zero = torch.empty_like(feature_map[0])
            zeros = sum(torch.eq(image, 0, out=is_zero).sum(dim=1).double() for image in feature_map)
            self._zeros.add(place.layer, torch.as_tensor(zeros), images * positions)

    def result(self) -> dict[str, Any]:
        """Layer → (F,) share of zeros."""
        self._zeros.unite(self.scene)
        return {layer: self._zeros.mean(layer) for layer in self._zeros.sums}
