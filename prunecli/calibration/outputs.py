"""What a layer puts out before its batch norm, and the loss's gradient there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import LayerCall, Observer, Scene
from prunecli.calibration.per_image import products
from prunecli.calibration.uniting import Rows, agree, unite
from prunecli.criteria.evidence import OutputEvidence, at_least_float32


class OutputObserver(Observer):
    """Energies of linear outputs and of the gradients there, and their products image by image.

    The calls of a layer count as further positions of the same image.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._images = 0
        self._energies: dict[str, Tensor] = {}
        self._products = Rows(scene)
        self._batch: dict[str, Tensor] = {}
        self._positions: dict[str, int] = {}
        self._batch_positions: dict[str, int] = {}

    def begin(self, labels: Tensor) -> None:
        """Count the images."""
        self._images += len(labels)
        self._products.begin(len(labels))
        self._batch, self._batch_positions = {}, {}

    def output_gradient(self, call: LayerCall, output: Tensor, gradient: Tensor) -> None:
        """Add one call: output and gradient (B, F, P)."""
        layer = call.place.layer
        linear = self._without_bias(layer, output)
        both = torch.stack([_energy(linear), _energy(gradient)]).double()
        self._energies[layer] = self._energies[layer] + both if layer in self._energies else both
        product = products(linear, gradient)
        self._batch[layer] = self._batch[layer] + product if layer in self._batch else product
        self._batch_positions[layer] = self._batch_positions.get(layer, 0) + output.shape[2]

    def end(self) -> None:
        """File the batch."""
        for layer, product in self._batch.items():
            self._products.add(layer, product)
        self._positions.update(self._batch_positions)

    def result(self) -> dict[str, Any]:
        """Layer → OutputEvidence."""
        names, processes = list(self.scene.layers), self.scene.processes
        unite(self._energies, names, processes=processes, device=self.scene.device)
        agree(self._positions, names, processes)
        return {
            layer: OutputEvidence(
                energy=self._energies[layer][0] / self._images,
                gradient_energy=self._energies[layer][1] / self._images,
                products=product,
                positions=self._positions[layer],
            )
            for layer, product in self._products.complete().items()
        }

    def _without_bias(self, layer: str, output: Tensor) -> Tensor:
        bias = self.scene.layers[layer].bias
        if bias is None:
            return output
        return output - at_least_float32(self.scene.model.get_parameter(bias).detach())[:, None]


def _energy(maps: Tensor) -> Tensor:
    """(F,): Σ over images and positions of the square."""
    lengths: Tensor = torch.linalg.vector_norm(maps, dim=2)
    return lengths.square().sum(dim=0)
