"""The Hessian of the mean loss times its gradient, at the weights of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunecli.calibration.observing import CalibrationBatches, Objective, Scene
from prunecli.progress import Progress, silent

# How torch says that a function has no second derivative.
NOT_TWICE = ("derivative for", "once_differentiable")


def hessian_gradient_products(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → (F,) Σ_k W (H g): first g over all batches, then H g by second derivatives, batch by batch.

    H and g are of the layers' weights alone, as published: biases and normalisations stay as they are. Of a
    network with a function that has no second derivative no layer is known.
    """
    names = list(dict.fromkeys(layer.weight for layer in scene.graph.layers))
    parameters = dict(scene.model.named_parameters())
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in names)
    weights = [parameters[name] for name in names]
    passes = _Passes(scene, batches, objective, progress)
    try:
        # The fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH):
            gradient = passes.gradients(weights)
            product = passes.gradients(weights, along=gradient)
    except RuntimeError as error:
        if any(words in str(error) for words in NOT_TWICE):
            return {}
        raise
    finally:
        scene.model.zero_grad(set_to_none=True)
    found = dict(zip(names, product, strict=True))
    return {
        layer.name: (scene.weight(layer.name) * scene.rows(layer.name, found[layer.weight])).sum(dim=1)
        for layer in scene.graph.layers
    }


class _Passes:
    """Two passes over the batches."""

    def __init__(
        self, scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress
    ) -> None:
        self._scene, self._batches, self._objective = scene, batches, objective
        self._progress = progress
        self._done = 0

    def gradients(self, weights: Sequence[Tensor], along: Sequence[Tensor] | None = None) -> list[Tensor]:
        """g, or H v when v is given as `along`; a weight that the loss does not hang on has zeros."""
        images_seen = 0
        for images, labels in self._batches:
            with torch.enable_grad():
                total = self._objective(self._scene.model, images.clone(), labels).each.sum()
                if along is not None:
                    found = torch.autograd.grad(total, weights, create_graph=True, materialize_grads=True)
                    total = torch.stack([(a * b).sum() for a, b in zip(found, along, strict=True)]).sum()
                # Into `grad` and not by torch.autograd.grad, which would pass over a function that cannot be
                # differentiated twice as if it were a constant.
                total.backward()  # type: ignore[no-untyped-call]
            images_seen += len(labels)
            self._done += len(labels)
            self._progress("differentiate", self._done, 2 * self._scene.images, {})
        sums = [torch.zeros_like(each) if each.grad is None else each.grad for each in weights]
        self._scene.model.zero_grad(set_to_none=True)
        return [each / images_seen for each in sums]
