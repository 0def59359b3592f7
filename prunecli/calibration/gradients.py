"""Gradients at the weights: of the mean loss, batch by batch, and squared image by image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import LayerCall, Observer, Scene
from prunecli.calibration.per_image import weight_gradients
from prunecli.calibration.uniting import Rows, unite
from prunecli.criteria.evidence import WeightGradientEvidence, at_least_float32


class WeightGradientObserver(Observer):
    """The mean gradient at every layer's weight, and its products with the weights batch by batch."""

    reads_weight_gradients = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._images = self._size = 0
        self._sums: dict[str, Tensor] = {}
        self._products = Rows(scene)

    def begin(self, labels: Tensor) -> None:
        """Remember the batch's size."""
        self._size = len(labels)
        self._images += self._size
        self._products.begin(1)

    def end(self) -> None:
        """Add the batch's gradients, which are those of the sum of its losses."""
        parameters = dict(self.scene.model.named_parameters())
        wanted = {layer.weight: parameters[layer.weight].grad for layer in self.scene.layers.values()}
        gradients = {name: at_least_float32(each) for name, each in wanted.items() if each is not None}
        for layer in self.scene.layers.values():
            if layer.weight in gradients:
                rows = self.scene.rows(layer.name, gradients[layer.weight])
                product = (self.scene.weight(layer.name) * rows).sum(dim=1) / self._size
                self._products.add(layer.name, product[None])
        for name, gradient in gradients.items():
            known = self._sums.get(name)
            # The first batch's gradients become the sums: no second copy of the weights' size is needed.
            self._sums[name] = gradient if known is None else known.add_(gradient)

    def result(self) -> dict[str, Any]:
        """Layer → WeightGradientEvidence."""
        weights = list(dict.fromkeys(layer.weight for layer in self.scene.graph.layers))
        unite(self._sums, weights, processes=self.scene.processes, device=self.scene.device)
        return {
            layer: WeightGradientEvidence(
                mean=self.scene.rows(layer, self._sums[self.scene.layers[layer].weight]) / self._images,
                products=products,
            )
            for layer, products in self._products.complete().items()
        }


class NormProductsObserver(Observer):
    """γ ∂L/∂γ + β ∂L/∂β of the batch norm behind a layer, batch by batch."""

    reads_norm_gradients = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._size = 0
        self._products = Rows(scene)

    def begin(self, labels: Tensor) -> None:
        """Remember the batch's size."""
        self._size = len(labels)
        self._products.begin(1)

    def end(self) -> None:
        """Add the batch's products, of the mean of its losses."""
        parameters = dict(self.scene.model.named_parameters())
        for layer in self.scene.layers.values():
            if layer.batch_norm is None:
                continue
            pair = [parameters.get(f"{layer.batch_norm}.{name}") for name in ("weight", "bias")]
            slopes = [
                at_least_float32(each.detach()) * at_least_float32(each.grad)
                for each in pair
                if each is not None and each.grad is not None
            ]
            if len(slopes) == len(pair):
                product = (slopes[0] + slopes[1]) / self._size
                self._products.add(layer.name, product[None])

    def result(self) -> dict[str, Any]:
        """Layer → (batches, F)."""
        return dict(self._products.complete())


class CurvatureObserver(Observer):
    """Mean over images of Σ_k (W ∂L_b/∂W)²; the calls of a layer add up before they are squared."""

    reads_inputs = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._images = 0
        self._sums: dict[str, Tensor] = {}
        # Layer → its calls so far in this batch and the images' gradients, of layers called several times.
        self._pending: dict[str, tuple[int, list[Tensor]]] = {}

    def begin(self, labels: Tensor) -> None:
        """Count the images."""
        self._images += len(labels)
        self._pending = {}

    def output_gradient(self, call: LayerCall, output: Tensor, gradient: Tensor) -> None:
        """Add the squares of one call's gradients, or wait for the layer's other calls."""
        layer = call.place.layer
        weight = self.scene.model.get_parameter(self.scene.layers[layer].weight).detach()
        weight = at_least_float32(weight)
        calls = len(self.scene.places[layer])
        if calls == 1 and call.function == "linear" and output.shape[2] == 1:
            self._add(layer, _squares_on_vectors(call, weight))
        elif calls == 1:
            for found in weight_gradients(call, weight):
                self._add(layer, self._squares(layer, found.mul_(weight)))
        else:
            seen, waiting = self._pending.pop(layer, (0, []))
            here = list(weight_gradients(call, weight))
            waiting = [a.add_(b) for a, b in zip(waiting, here, strict=True)] if waiting else here
            if seen + 1 < calls:
                self._pending[layer] = (seen + 1, waiting)
                return
            for found in waiting:
                self._add(layer, self._squares(layer, found.mul_(weight)))

    def _squares(self, layer: str, slopes: Tensor) -> Tensor:
        """(F,): Σ_k of the squares of a tensor in the shape of the weight."""
        lengths: Tensor = torch.linalg.vector_norm(self.scene.rows(layer, slopes), dim=1)
        return lengths.square()

    def _add(self, layer: str, squares: Tensor) -> None:
        squares = squares.double()
        self._sums[layer] = self._sums[layer] + squares if layer in self._sums else squares

    def result(self) -> dict[str, Any]:
        """Layer → (F,)."""
        unite(self._sums, list(self.scene.layers), processes=self.scene.processes, device=self.scene.device)
        return {layer: total / self._images for layer, total in self._sums.items()}


def _squares_on_vectors(call: LayerCall, weight: Tensor) -> Tensor:
    """(F,): Σ_b Σ_k (W ∂L_b/∂W)² of a linear layer on one vector an image, where ∂L_b/∂W = g xᵀ."""
    if call.inputs is None:
        raise ValueError("the observer does not say that it reads inputs")
    read, slope = (each.reshape(call.images, -1) for each in (call.inputs, call.gradient))
    return (slope.square() * (read.square() @ weight.square().T)).sum(dim=0)
