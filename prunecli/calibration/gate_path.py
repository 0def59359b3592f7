"""Integrate the loss's slope along a path on which all gates of a layer open together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import CalibrationBatches, Losses, Objective, Scene
from prunecli.calibration.resuming import Recording, gate_of, recordings
from prunecli.progress import Progress, silent

STEPS = 20


def integrate_gates(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → (F,) ∫ ∂L/∂m_f dm for m from 0 to 1 on all of the layer's gates, by the midpoint rule.

    Summed over the layer's filters it is L(all gates open) − L(all closed), but for the rule's error.
    """
    totals: dict[str, Tensor] = {}
    counted: dict[str, int] = {}
    seen = 0
    scene.model.requires_grad_(False)
    for count, recording in recordings(scene, batches, objective):
        done = seen * len(scene.places)
        seen += count
        for layer in recording.layers:
            found = _integral(scene, recording, layer)
            if found is not None:
                totals[layer] = totals[layer] + found if layer in totals else found
                counted[layer] = counted.get(layer, 0) + count
            done += count
            progress("integrate", done, max(scene.images, seen) * len(scene.places), {})
    return {layer: total / seen for layer, total in totals.items() if counted[layer] == seen}


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
