"""Train a copy of the network for a few steps and see which filters' weights grow."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import CalibrationBatches, Objective, Scene
from prunecli.progress import Progress, silent

LEARNING_RATE = 0.01


def observe_movement(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → (F,) −Σ_t Σ_k W g: plain gradient descent on a copy, one step a batch, learning rate 0.01.

    Batch norms keep their statistics. Of a training that diverges nothing is known.
    """
    trained = copy.deepcopy(scene.model).eval()
    parameters = {name: p for name, p in trained.named_parameters() if p.is_floating_point()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    totals: dict[str, Tensor] = {}
    done = 0
    for images, labels in batches:
        with torch.enable_grad():
            mean = objective(trained, images.clone(), labels).each.mean()
            found: Sequence[Tensor | None] = torch.autograd.grad(
                mean, list(parameters.values()), allow_unused=True
            )
        gradients = dict(zip(parameters, found, strict=True))
        with torch.no_grad():
            for layer in scene.graph.layers:
                gradient = gradients[layer.weight]
                if gradient is None:
                    continue
                product = scene.rows(layer.name, parameters[layer.weight] * gradient).sum(dim=1).double()
                totals[layer.name] = totals.get(layer.name, torch.zeros_like(product)) - product
            for name, parameter in parameters.items():
                gradient = gradients[name]
                if gradient is not None:
                    parameter.sub_(gradient, alpha=LEARNING_RATE)
        done += len(labels)
        progress("move", done, scene.images, {})
    if not all(bool(torch.isfinite(total).all()) for total in totals.values()):
        return {}
    return dict(totals)
