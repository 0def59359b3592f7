"""Integrate the loss's slope along a path on which all gates of a layer open together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import CalibrationBatches, Losses, Objective, Scene
from prunecli.calibration.resuming import Recording, gate_of, means_over_images
from prunecli.progress import Progress, silent

STEPS = 20


def integrate_gates(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → (F,) ∫ ∂L/∂m_f dm for m from 0 to 1 on all of the layer's gates, by the midpoint rule.

    Summed over the layer's filters it is L(all gates open) − L(all closed), but for the rule's error.
    """
    scene.model.requires_grad_(False)
    return means_over_images(
        scene,
        batches,
        objective,
        _integral,
        passes=dict.fromkeys(scene.places, 1),
        stage="integrate",
        progress=progress,
    )


def _integral(scene: Scene, recording: Recording, layer: str) -> Tensor | None:
    """(F,): the integral of the sum of losses; None when the network cannot be run with gates."""
    axis = scene.places[layer][0].axis
    each = recording.losses.each

    def slope_at(level: float) -> tuple[Tensor, Any]:
        filters = scene.layers[layer].channels
        gates = torch.full((filters,), level, dtype=each.dtype, device=each.device, requires_grad=True)

        def read(losses: Losses) -> Tensor:
            if not losses.each.requires_grad:  # nothing that the layer makes reaches the loss
                return torch.zeros_like(gates)
            (slope,) = torch.autograd.grad(losses.each.sum(), gates, materialize_grads=True)
            return slope.double()

        return gates, read

    with torch.enable_grad():
        gates, read = slope_at(1.0)
        if not recording.repeats(layer, gate_of(gates, axis), read):
            return None
        total = torch.zeros_like(gates, dtype=torch.float64)
        for step in range(STEPS):
            gates, read = slope_at((step + 0.5) / STEPS)
            total += recording.run(layer, gate_of(gates, axis), read) / STEPS
    return total.detach()
