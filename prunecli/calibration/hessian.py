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
    network with a function that has no second derivative no layer is known. Both are of the images of all
    processes; the batches are those that this one runs.
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
            product = None if gradient is None else passes.gradients(weights, along=gradient)
    finally:
        scene.model.zero_grad(set_to_none=True)
    if product is None:
        return {}
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

    def gradients(
        self, weights: Sequence[Tensor], along: Sequence[Tensor] | None = None
    ) -> list[Tensor] | None:
        """g, or H v when v is given as `along`; a weight that the loss does not hang on has zeros.

        None, in all processes, where a function has no such derivative.
        """
        processes, images = self._scene.processes, 0
        try:
            images = self._accumulate(weights, along)
            missing = False
        except RuntimeError as error:
            missing = any(words in str(error) for words in NOT_TWICE)
            if not missing:
                raise
        if processes.any(missing):
            return None
        images = int(processes.total(torch.tensor(images)))
        sums = [torch.zeros_like(each) if each.grad is None else each.grad for each in weights]
        self._scene.model.zero_grad(set_to_none=True)
        return [processes.total(each) / images for each in sums]

    def _accumulate(self, weights: Sequence[Tensor], along: Sequence[Tensor] | None) -> int:
        """Add to the gradients of `weights` what this process's batches give; how many images they have."""
        images_seen, every = 0, 2 * self._scene.images
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
            self._progress("differentiate", min(self._done * self._scene.processes.count, every), every, {})
        return images_seen
