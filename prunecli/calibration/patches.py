"""Samples of what layers read, for criteria that ask what a channel does to the layers behind it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunecli.calibration.maps import sampled_images
from prunecli.calibration.observing import Observer, Scene
from prunecli.calibration.places import Place
from prunecli.calibration.uniting import unite, united_names
from prunecli.criteria.evidence import ConsumerEvidence, at_least_float32
from prunecli.graph.coupling import leaving_with
from prunecli.graph.layers import CONVOLUTIONS, TRANSPOSED

# Patches of a consumer that are kept, at most, and of one image.
PATCHES = 1024
PATCHES_OF_IMAGE = 16
# Numbers of a consumer that are kept, at most: 32 MiB, whatever the width.
ENTRIES = 1 << 23
# How far a patch times the weight may be from what the layer made of it, as a share of the largest output:
# convolutions on GPUs round to ten bits.
TOLERANCE = 1e-2

OwnedColumns = Mapping[str, Mapping[str, NDArray[np.int64]]]
"""Producer → consumer → (C,): the producer's filter that makes each input channel, −1 for none."""


class ConsumerObserver(Observer):
    """Patches that every consumer reads, at the same positions of every image, for all its producers."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._owned = consumers_of(scene)
        self._consumers = {name for owned in self._owned.values() for name in owned}
        self._partly_seen = partly_seen(scene)
        # Consumer → (calls, images, positions, C · taps), and (calls, images): which are in it by now.
        self._patches: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor] = {}
        self._unreadable: set[str] = set()
        self._first, self._images = 0, 0

    def begin(self, labels: Tensor) -> None:
        """Count images."""
        self._first += self._images
        self._images = len(labels)

    def called(self, place: Place, inputs: Tensor, output: Tensor) -> None:
        """Take patches of the inputs of a consumer."""
        name = place.layer
        if name not in self._consumers or name in self._unreadable:
            return
        module = self.scene.model.get_submodule(name)
        images, positions = self._budget(place, module)
        taken = take_patches(module, inputs, self._images, positions)
        if name not in self._seen:
            self._seen[name] = torch.zeros(len(self.scene.places[name]), len(images), dtype=torch.int64)
        seen = self._seen[name]
        first = not seen[place.occurrence].any()
        if taken is None or (first and not _explains(module, taken, output)):
            self._unreadable.add(name)
            self._patches.pop(name, None)
            return
        if name not in self._patches:
            # All at once: many small pieces beside feature maps that come and go would scatter the memory.
            self._patches[name] = taken.patches.new_empty((*seen.shape, *taken.patches.shape[1:]))
        here = slice(*(bisect_left(images, at) for at in (self._first, self._first + self._images)))
        chosen = [at - self._first for at in images[here]]
        self._patches[name][place.occurrence, here] = taken.patches[chosen]
        seen[place.occurrence, here] = 1

    def result(self) -> dict[str, Any]:
        """Layer → its ConsumerEvidence; layers whose channels go to the same places share it.

        A layer is left out when one of those that read its channels could not be seen.
        """
        self._unite()
        samples = {}
        for name, kept in self._patches.items():
            whole = self._seen[name].bool().all(dim=0)
            if whole.any():
                samples[name] = (kept if whole.all() else kept[:, whole]).flatten(0, 2)
        made: dict[tuple[str, bytes], ConsumerEvidence] = {}
        found: dict[str, Any] = {}
        for producer, owned in self._owned.items():
            read = {name: owner for name, owner in owned.items() if name in samples}
            if not read or producer in self._partly_seen or self._unreadable & owned.keys():
                continue
            for name, owner in read.items():
                key = (name, owner.tobytes())
                if key not in made:
                    made[key] = self._evidence(name, owner, samples[name])
            found[producer] = tuple(made[name, owner.tobytes()] for name, owner in read.items())
        return found

    def _unite(self) -> None:
        """Bring together the patches of all processes, each image's where its own process has them."""
        processes, device = self.scene.processes, self.scene.device
        self._unreadable = united_names(self._unreadable, sorted(self._consumers), processes)
        names = sorted(self._consumers - self._unreadable)
        self._patches = {name: kept for name, kept in self._patches.items() if name in names}
        if processes.count > 1:
            for name, kept in self._patches.items():
                kept[self._seen[name].to(kept.device) == 0] = 0  # what was never written is anything
        unite(self._patches, names, processes=processes, device=device)
        unite(self._seen, names, processes=processes, device=torch.device("cpu"))

    def _evidence(self, name: str, owner: NDArray[np.int64], samples: Tensor) -> ConsumerEvidence:
        weight = weight_rows(self.scene.model.get_submodule(name))
        columns = np.repeat(owner, weight.shape[1] // len(owner))
        return ConsumerEvidence(name, weight, torch.from_numpy(columns).to(weight.device), samples)

    def _budget(self, place: Place, module: nn.Module) -> tuple[list[int], int]:
        """Which images of all are looked at, and how many positions of each."""
        patches = max(1, min(PATCHES, ENTRIES // weight_rows(module).shape[1]))
        images = sampled_images(self.scene.images, patches)
        calls = len(self.scene.places[place.layer])
        return images, max(1, min(PATCHES_OF_IMAGE, patches // len(images)) // calls)


def consumers_of(scene: Scene) -> OwnedColumns:
    """Which layers read the channels of each layer, and at which of their inputs."""
    inputs = {
        (layer.weight, 1 - layer.filter_axis): layer.name for layer in scene.graph.layers if not layer.bare
    }
    shapes = {name: tensor.shape for name, tensor in scene.graph.model.named_parameters()}
    found: dict[str, dict[str, NDArray[np.int64]]] = {}
    for layer in scene.graph.layers:
        for leaving in leaving_with(scene.graph, layer):
            consumer = inputs.get((leaving.tensor, leaving.axis))
            if consumer is not None:
                owner = np.full(shapes[leaving.tensor][leaving.axis], -1, dtype=np.int64)
                owner[leaving.positions] = leaving.owner
                found.setdefault(layer.name, {})[consumer] = owner
    return found


def partly_seen(scene: Scene) -> set[str]:
    """Layers whose channels are read by one that cannot tell its inputs apart by them.

    An index along the inputs of a convolution in groups stands for one channel of every group.
    """
    made = {(layer.weight, layer.filter_axis): layer.name for layer in scene.graph.layers}
    unclear = {
        (layer.weight, 1 - layer.filter_axis)
        for layer in scene.graph.layers
        if not _is_readable(layer.module(scene.model))
    }
    found: set[str] = set()
    for group in scene.graph.groups:
        places = {(member.tensor, member.axis) for member in group.members}
        if places & unclear:
            found |= {made[place] for place in places & made.keys()}
    return found


def _is_readable(module: nn.Module) -> bool:
    convolution = isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)) and module.groups == 1
    return convolution or isinstance(module, nn.Linear)


def weight_rows(module: nn.Module) -> Tensor:
    """(N, C · taps): a layer's weight, one row an output, columns by input channel, then by tap."""
    weight = module.get_parameter("weight").detach()
    return (weight.transpose(0, 1) if isinstance(module, TRANSPOSED) else weight).flatten(1)


@dataclass(frozen=True)
class Taken:
    """Patches of a layer's inputs, and where in its output they are answered."""

    patches: Tensor
    """(B, M, C · taps): M positions of every image, zeros where a patch reaches beyond the border."""
    positions: Tensor
    """(M,): indices along the P positions of the output."""
    of: int
    """P, if the output is as the layer's settings say."""


def take_patches(module: nn.Module, inputs: Tensor, images: int, most: int) -> Taken | None:
    """What the layer reads at `most` positions of a grid, or None where images cannot be told apart."""
    if isinstance(module, nn.Linear):
        if inputs.dim() == 2 and len(inputs) != images:
            return None
        tokens = inputs.reshape(images, -1, inputs.shape[-1])
        at = torch.from_numpy(grid((tokens.shape[1],), most)[0]).to(inputs.device)
        return Taken(at_least_float32(tokens[:, at]), at, tokens.shape[1])
    if not isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)) or len(inputs) != images:
        return None
    sizes = inputs.shape[2:]
    windows = [_Window.of(module, dimension, size) for dimension, size in enumerate(sizes)]
    outputs = [window.outputs for window in windows]
    places = grid(outputs, most)
    read, inside = _indices([window.read(at) for window, at in zip(windows, places, strict=True)], sizes)
    answered, _ = _indices([at[:, None] for at in places], outputs)
    index, mask = (torch.from_numpy(each).to(inputs.device) for each in (read, inside))
    picked = at_least_float32(inputs.flatten(2).index_select(2, index.flatten()))
    picked = picked.reshape(*picked.shape[:2], *index.shape).where(mask, 0.0)
    at = torch.from_numpy(answered[:, 0]).to(inputs.device)
    return Taken(picked.transpose(1, 2).flatten(2), at, math.prod(outputs))


def grid(sizes: Sequence[int], most: int) -> list[NDArray[np.int64]]:
    """Positions along each dimension whose product is a regular grid of at most `most` positions."""
    counts = [1] * len(sizes)
    while True:
        # The dimension that is the most thinly covered gets one more, if there is room for it.
        for dimension in sorted(range(len(sizes)), key=lambda d: counts[d] / sizes[d]):
            grown = math.prod(counts) // counts[dimension] * (counts[dimension] + 1)
            if counts[dimension] < sizes[dimension] and grown <= most:
                counts[dimension] += 1
                break
        else:
            pairs = zip(sizes, counts, strict=True)
            return [(2 * np.arange(count) + 1) * size // (2 * count) for size, count in pairs]


@dataclass(frozen=True)
class _Window:
    """One dimension of a convolution: which inputs an output reads."""

    inputs: int
    outputs: int
    stride: int
    padding: int
    offsets: NDArray[np.int64]
    """(taps,): how far each tap lies from the first."""
    transposed: bool

    @classmethod
    def of(cls, module: Any, dimension: int, inputs: int) -> _Window:
        taps, stride, dilation = (
            int(each[dimension]) for each in (module.kernel_size, module.stride, module.dilation)
        )
        offsets = np.arange(taps) * dilation
        reach = dilation * (taps - 1)
        if isinstance(module, TRANSPOSED):
            padding = int(module.padding[dimension])
            outputs = (inputs - 1) * stride - 2 * padding + reach + int(module.output_padding[dimension]) + 1
            return cls(inputs, outputs, stride, padding, offsets, transposed=True)
        if module.padding_mode != "zeros" or module.padding == "valid":
            padding = 0  # padding with other than zeros is a function of its own, before the convolution
        elif module.padding == "same":
            return cls(inputs, inputs, stride, reach // 2, offsets, transposed=False)
        else:
            padding = int(module.padding[dimension])
        outputs = (inputs + 2 * padding - reach - 1) // stride + 1
        return cls(inputs, outputs, stride, padding, offsets, transposed=False)

    def read(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M, taps): the input that each tap of the outputs `at` (M,) meets, −1 for none."""
        if self.transposed:
            spread = at[:, None] + self.padding - self.offsets
            met = np.where(spread % self.stride == 0, spread // self.stride, -1)
        else:
            met = at[:, None] * self.stride - self.padding + self.offsets
        return np.where((met >= 0) & (met < self.inputs), met, -1)


def _indices(
    along: Sequence[NDArray[np.int64]], sizes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(positions, taps): indices into the flattened dimensions, and which of them exist.

    `along` holds (positions, taps) of every dimension; the results are over their products.
    """
    index: NDArray[np.int64] = np.zeros((1, 1), dtype=np.int64)
    inside: NDArray[np.bool_] = np.ones((1, 1), dtype=np.bool_)
    for met, size in zip(along, sizes, strict=True):
        shape = (len(index) * len(met), -1)
        index = (index[:, None, :, None] * size + np.maximum(met, 0)[None, :, None, :]).reshape(shape)
        inside = (inside[:, None, :, None] & (met >= 0)[None, :, None, :]).reshape(shape)
    return index, inside


def _explains(module: nn.Module, taken: Taken, output: Tensor) -> bool:
    """Whether the patches of the first image, times the weight, are what the layer made of them."""
    if taken.of != output.shape[2]:
        return False
    made = taken.patches[0] @ at_least_float32(weight_rows(module)).T
    bias = getattr(module, "bias", None)
    if isinstance(bias, Tensor):
        made = made + bias.detach()
    given = output[0][:, taken.positions].T
    return bool((made - given).abs().amax() <= TOLERANCE * given.abs().amax() + 1e-30)
