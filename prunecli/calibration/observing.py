"""What looks on while calibration batches run, and what it is shown.

An observer gathers one piece of evidence as a stream; a probe makes passes of its own. Both return
layer → the value of one attribute of `Evidence`; a layer that cannot have it is left out. Where several
processes share the batches, each runs its own, and what they found is put together in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from prunecli.calibration.places import Place, find_places
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.layers import Layer
from prunecli.processes import Processes
from prunecli.progress import Progress

CalibrationBatches = Iterable[tuple[Tensor, Tensor]]
"""Normalised images (B, C, H, W) and labels (B,), the same at every iteration."""


@dataclass(frozen=True, eq=False)
class Losses:
    """What the network made of a batch, image by image."""

    each: Tensor
    """(B,): the loss of every image."""
    correct: Tensor
    """(B,) bool: whether it was classified right."""


Objective = Callable[[nn.Module, Tensor, Tensor], Losses]
"""From a network, images and labels to the losses, differentiable where gradients are on."""


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer: the torch function, what it read and how it was set."""

    place: Place
    function: str
    """As in `conv2d`, `conv_transpose1d`, `linear`."""
    inputs: Tensor | None
    """What it read, float32 or better; None when no observer reads inputs."""
    gradient: Tensor
    """The gradient at what it made, of the same shape as that, float32 or better."""
    settings: Mapping[str, Any]
    """Stride, padding, dilation, groups … as far as they were given; empty for a linear function."""
    images: int
    """B. Windows and patches may lie in the first dimension beside the images."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a calibration runs on: the network with its weights, and what is known of it."""

    model: nn.Module
    graph: ChannelGraph
    images: int
    """How many calibration images there are in all."""
    processes: Processes = field(default_factory=Processes)
    """Who shares the batches; all of them have the same scene, and do the same with it."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    @cached_property
    def places(self) -> Mapping[str, tuple[Place, ...]]:
        """Layer → its calls in a forward pass."""
        return find_places(self.graph)

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.graph.layers}

    def rows(self, layer: str, tensor: Tensor) -> Tensor:
        """A tensor of the shape of the layer's weight as (F, K), one row a filter."""
        return self.layers[layer].rows(tensor)

    def weight(self, layer: str) -> Tensor:
        """(F, K): the layer's weight, one row a filter."""
        return self.rows(layer, self.model.get_parameter(self.layers[layer].weight).detach())


class Observer:
    """Gathers one piece of evidence. Maps are (B, F, P): images, filters, positions, float32 or better.

    Gradients are those of the sum of the batch's losses, so that an image's share is its own loss's gradient.
    A layer that is called several times is shown each call; one whose calls could not all be shown is left
    out of the result afterwards.
    """

    reads_weight_gradients: ClassVar[bool] = False
    reads_norm_gradients: ClassVar[bool] = False
    reads_inputs: ClassVar[bool] = False
    """Whether `output_gradient` has to know what the layer read."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def begin(self, labels: Tensor) -> None:
        """The next batch, labels (B,): it runs now, here or in another process, which is shown it alone."""

    def called(self, place: Place, inputs: Tensor, output: Tensor) -> None:
        """A layer was called: `inputs` as it got them, `output` (B, F, P) before its norm, with its bias."""

    def mapped(self, place: Place, feature_map: Tensor) -> None:
        """The feature map (B, F, P) of a call is there."""

    def pictured(self, place: Place, feature_map: Tensor) -> None:
        """The same as (B, F, H, W), for a call whose feature maps have two dimensions."""

    def output_gradient(self, call: LayerCall, output: Tensor, gradient: Tensor) -> None:
        """The gradient (B, F, P) at a layer's output (B, F, P)."""

    def map_gradient(self, place: Place, feature_map: Tensor, gradient: Tensor) -> None:
        """The gradient (B, F, P) at a feature map (B, F, P)."""

    def end(self) -> None:
        """The batch that ran here is over; parameters that were asked for have their `.grad`."""

    def result(self) -> dict[str, Any]:
        """Layer → the piece of evidence, of all batches and the same in every process.

        Asked for once, by all of them: it puts together what each has found.
        """
        raise NotImplementedError

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Whether this observer wants to be shown what `method` shows."""
        return getattr(cls, method) is not getattr(Observer, method)


Probe = Callable[[Scene, CalibrationBatches, Objective, Progress], dict[str, Any]]
