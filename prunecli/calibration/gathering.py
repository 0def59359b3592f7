"""Gather all the evidence that the chosen criteria need, in one pass over the calibration batches.

Evidence that takes passes of its own (silencing filters one by one, a path of gates, second derivatives, a
short training) is gathered after it by probes.

Several processes share the batches and put together what each has found: sums are added, what is known image
by image or batch by batch is laid out in their order. `UNSHARED` is what each finds by itself on all images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.calibration.ablation import ablate
from prunecli.calibration.activations import ActivationObserver, ZeroShareObserver
from prunecli.calibration.gate_path import integrate_gates
from prunecli.calibration.gates import GateGradientObserver
from prunecli.calibration.gradients import CurvatureObserver, NormProductsObserver, WeightGradientObserver
from prunecli.calibration.hessian import hessian_gradient_products
from prunecli.calibration.layouts import with_matched_layouts
from prunecli.calibration.maps import MapRankObserver, NuclearDropObserver
from prunecli.calibration.movement import observe_movement
from prunecli.calibration.observing import CalibrationBatches, Objective, Observer, Probe, Scene
from prunecli.calibration.outputs import OutputObserver
from prunecli.calibration.patches import ConsumerObserver
from prunecli.calibration.synaptic_flow import synaptic_flow
from prunecli.calibration.uniting import OwnBatches, is_own, united_names
from prunecli.calibration.watching import (
    ALWAYS_SHOWN,
    Watch,
    parameters_wanted,
    reads_gradients,
    start_of_graph,
)
from prunecli.criteria.contract import Needs
from prunecli.progress import Progress, silent

OBSERVERS: Mapping[Needs, type[Observer]] = {
    Needs.ACTIVATION: ActivationObserver,
    Needs.ZERO_SHARE: ZeroShareObserver,
    Needs.MAP_RANK: MapRankObserver,
    Needs.NUCLEAR_DROP: NuclearDropObserver,
    Needs.CONSUMERS: ConsumerObserver,
    Needs.GATE_GRADIENT: GateGradientObserver,
    Needs.WEIGHT_GRADIENT: WeightGradientObserver,
    Needs.NORM_PRODUCTS: NormProductsObserver,
    Needs.OUTPUT: OutputObserver,
    Needs.CURVATURE: CurvatureObserver,
}
PROBES: Mapping[Needs, Probe] = {
    Needs.SYNAPTIC_FLOW: synaptic_flow,
    Needs.HESSIAN_PRODUCT: hessian_gradient_products,
    Needs.MOVEMENT: observe_movement,
    Needs.GATE_PATH: integrate_gates,
    Needs.ABLATION: ablate,
}
UNSHARED = Needs.SYNAPTIC_FLOW | Needs.MOVEMENT
"""What every process probes by itself: the one looks at no image, and each step of the other's training
starts where the step before has ended. All other evidence adds up over images."""

Gathered = Mapping[str, Mapping[str, Any]]
"""Layer → attributes of `Evidence` and their values."""


def gather(
    scene: Scene,
    batches: CalibrationBatches,
    objective: Objective,
    *,
    needs: Needs,
    progress: Progress = silent,
) -> dict[str, dict[str, Any]]:
    """Layer → the attributes of `Evidence` that `needs` names, where the layer can have them.

    `scene.model` runs in evaluation mode and is left as it was; images and labels of `batches` lie on its
    device. With several processes (`scene.processes`) all of them call it with the same batches; what they
    share comes out the same in all, to the last bit, and `UNSHARED` as alike as they compute.
    """
    parts = needs.parts()
    objective = with_matched_layouts(objective)
    observers = {need: OBSERVERS[need](scene) for need in parts if need in OBSERVERS}
    gathered: dict[str, dict[str, Any]] = {layer: {} for layer in scene.layers}
    with _prepared(scene.model):
        lost: Mapping[str, set[str]] = {}
        if observers:
            lost = observe(scene, batches, objective, list(observers.values()), progress=progress)
        found = {need: _complete(observer, lost) for need, observer in observers.items()}
        for need in parts:
            if need in PROBES:
                given = batches if need in UNSHARED else OwnBatches(batches, scene.processes)
                found[need] = PROBES[need](scene, given, objective, progress)
    for need, values in found.items():
        for layer, value in values.items():
            gathered[layer][need.attribute] = value
    return gathered


def observe(
    scene: Scene,
    batches: CalibrationBatches,
    objective: Objective,
    observers: Sequence[Observer],
    *,
    progress: Progress = silent,
) -> dict[str, set[str]]:
    """Run every batch once, with a backward pass only if an observer reads gradients.

    Several processes run every batch in one of them. Returns method of observers → layers that it was not
    shown all calls of, in whichever process.
    """
    wanted = parameters_wanted(scene, observers)
    for name, parameter in scene.model.named_parameters():
        parameter.requires_grad_(name in wanted)
    done = 0
    lost: dict[str, set[str]] = {method: set() for method in ALWAYS_SHOWN}
    for number, (images, labels) in enumerate(batches):
        for observer in observers:
            observer.begin(labels)
        if is_own(number, scene.processes):
            for method, layers in _watched(scene, objective, observers, images, labels).items():
                lost[method].update(layers)
        done += len(labels)
        progress("calibrate", done, scene.images, {})
    names = list(scene.layers)
    return {method: united_names(layers, names, scene.processes) for method, layers in lost.items()}


def _watched(
    scene: Scene, objective: Objective, observers: Sequence[Observer], images: Tensor, labels: Tensor
) -> dict[str, set[str]]:
    """Run one batch; returns what `observe` does."""
    differentiate = reads_gradients(observers)
    watch = Watch(scene, observers, images=len(labels))
    with torch.set_grad_enabled(differentiate):
        with watch:
            losses = objective(scene.model, start_of_graph(images, observers), labels)
        if differentiate:
            losses.each.sum().backward()  # type: ignore[no-untyped-call]
    del losses  # and with it the graph
    with torch.no_grad():
        for observer in observers:
            observer.end()
    scene.model.zero_grad(set_to_none=True)
    return watch.lost()


def _complete(observer: Observer, lost: Mapping[str, set[str]]) -> dict[str, Any]:
    """What an observer found, without the layers that it has not seen all of."""
    partly_seen = {layer for method, layers in lost.items() if observer.overrides(method) for layer in layers}
    return {layer: value for layer, value in observer.result().items() if layer not in partly_seen}


@contextmanager
def _prepared(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients left over; afterwards everything as it was."""
    modes = {path: module.training for path, module in model.named_modules()}
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    try:
        model.eval()
        for parameter in model.parameters():
            parameter.grad = None
        yield
    finally:
        for path, module in model.named_modules():
            module.training = modes[path]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
            parameter.grad = gradients[name]
