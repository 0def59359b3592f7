"""Silence every filter's feature map alone and see what it costs: the yardstick of all criteria."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunecli.calibration.observing import CalibrationBatches, Losses, Objective, Scene
from prunecli.calibration.resuming import Recording, gate_of, means_over_images
from prunecli.criteria.evidence import AblationEvidence
from prunecli.progress import Progress, silent


def ablate(
    scene: Scene, batches: CalibrationBatches, objective: Objective, progress: Progress = silent
) -> dict[str, Any]:
    """Layer → AblationEvidence, from one pass a filter and batch.

    A filter's feature map is multiplied by zero wherever the layer is called. One that is zero on a whole
    batch anyway costs nothing there, and needs no pass.
    """
    filters = {layer: scene.layers[layer].channels for layer in scene.places}
    with torch.no_grad():
        changes = means_over_images(
            scene, batches, objective, _silenced_in_turn, passes=filters, stage="ablate", progress=progress
        )
    return {
        layer: AblationEvidence(loss=change[0], accuracy=100 * change[1]) for layer, change in changes.items()
    }


def _silenced_in_turn(scene: Scene, recording: Recording, layer: str) -> Tensor | None:
    """(2, F): increase of the sum of losses and fall of the number of right answers, filter by filter."""
    axis = scene.places[layer][0].axis
    before = recording.losses
    everything = torch.ones(scene.layers[layer].channels, dtype=before.each.dtype, device=before.each.device)
    if not recording.repeats(layer, gate_of(everything, axis), _nothing):
        return None
    change = torch.zeros(2, len(everything), dtype=torch.float64, device=before.each.device)

    def compare(losses: Losses) -> Tensor:
        more = losses.each.double() - before.each.double()
        fewer = before.correct.double() - losses.correct.double()
        return torch.stack([more.sum(), fewer.sum()])

    for channel in (~recording.silent(layer)).nonzero().flatten().tolist():
        values = everything.clone()
        values[channel] = 0
        change[:, channel] = recording.run(layer, gate_of(values, axis), compare)
    return change


def _nothing(losses: Losses) -> None:
    """Nothing more is wanted of the losses."""
