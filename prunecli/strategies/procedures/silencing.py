"""The losses of a network with some of its channels silent, on images in memory: no copy, no surgery.

A channel is silent when every parameter that its removal would cut is zero where it would be cut: the filters
that make it, what comes behind them, and the weights that read it. A forward pass is recorded once for all
that is to be tried on the same images, and taken up again at the first feature map that changes.

Where statistics run over channels (layer norm), a silent channel is not a removed one. Which groups can be
measured how is tried, not assumed (`find_ways`); the rest is measured by cutting a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from prunecli.calibration.observing import Losses, Scene
from prunecli.calibration.resuming import RECORDED_BYTES, OtherPath, Recording, gate_of
from prunecli.data.pixels import byte_scale, scale_bytes
from prunecli.data.splits import Split
from prunecli.data.splitting import take
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.training.batches import floating_dtype
from prunecli.training.forward import logits_of
from prunecli.training.layouts import lay_out, layout_kept
from prunecli.training.states import modes_kept

Removed = Mapping[str, tuple[int, ...]]
"""Group name → channels."""

# What is tried on so many images in float64 must come out the same to a millionth.
TRIED_IMAGES = 2
TOLERANCE = 1e-6
# Images at once. Larger batches are no faster on the CPU; an accelerator wants more.
LARGEST_BATCH = {"cpu": 128}
LARGEST_BATCH_ELSEWHERE = 1024
# Recording a pass costs more than a pass; it pays from so many contenders on.
LEAST_RECORDED = 4


class Way(Enum):
    """How the loss without some channels of a group is measured."""

    RESUMED = "silent, the pass taken up at the first map that changes"
    SILENT = "silent, a whole pass"
    CUT = "removed from a copy"


@dataclass(frozen=True, eq=False)
class Images:
    """Normalised when they are taken: (N, C, H, W) bytes, labels (N,), in an order drawn once."""

    split: Split
    mean: Sequence[float]
    std: Sequence[float]

    def __len__(self) -> int:
        return len(self.split)

    def taken(self, places: Tensor, *, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The images and labels at `places` (B,) int64."""
        shift, factor = byte_scale(self.mean, self.std, channels=self.split.image_shape[0], device=device)
        pixels = self.split.pixels(places).to(device)
        return scale_bytes(pixels, shift, factor).to(dtype), self.split.labels[places].to(device)


@dataclass(frozen=True, eq=False)
class Contender:
    """Channels that might leave, by group, and how their loss is measured."""

    removed: Removed
    way: Way
    places: Sequence[tuple[Tensor, int, Tensor]]
    """(parameter, axis, positions) wherever their removal would cut."""
    filters: Mapping[str, Tensor]
    """Layer → which of its filters make them."""
    cut: list[nn.Module] = field(default_factory=list)
    """The copy without them, once it was made."""


class Bench:
    """A network on which contenders are measured; `gone` are the channels that are silent already."""

    def __init__(self, model: nn.Module, graph: ChannelGraph, images: Images) -> None:
        self.model = model
        self.graph = graph
        self.images = images
        self.gone: dict[str, tuple[int, ...]] = {}
        self._scene = Scene(model, graph, len(images))
        self._parameters = dict(model.named_parameters())
        self._dtype = floating_dtype(model)
        self._together: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._scene.device

    def contender(self, removed: Removed, way: Way) -> Contender:
        """What is to be tried, with its places in the network."""
        marked = self.graph.marked(removed)
        gone: dict[tuple[str, int], Tensor] = {}
        for tensor, axis in self.graph.origins:
            at = np.flatnonzero(self.graph.removed_from(tensor, axis, marked))
            if at.size:
                gone[tensor, axis] = torch.from_numpy(at).to(self.device)
        return Contender(
            removed,
            way,
            places=[
                (self._parameters[name].detach(), axis, at)
                for (name, axis), at in gone.items()
                if name in self._parameters
            ],
            filters={
                layer.name: gone[layer.weight, layer.filter_axis]
                for layer in self.graph.layers
                if (layer.weight, layer.filter_axis) in gone
            },
        )

    @contextmanager
    def silent(self, contender: Contender) -> Iterator[None]:
        """Inside, the contender's channels are silent; then the weights are as they were."""
        before = [tensor.index_select(axis, at) for tensor, axis, at in contender.places]
        try:
            for tensor, axis, at in contender.places:
                tensor.index_fill_(axis, at, 0.0)
            yield
        finally:
            for (tensor, axis, at), values in zip(reversed(contender.places), reversed(before), strict=True):
                tensor.index_copy_(axis, at, values)

    @contextmanager
    def leaving(self, contender: Contender) -> Iterator[None]:
        """Inside, the contender's channels are silent and count as gone."""
        earlier = self.gone
        with self.silent(contender):
            self.gone = self._with(contender)
            try:
                yield
            finally:
                self.gone = earlier

    def together(self) -> int:
        """How many images are run at once: as many as a recording has room for."""
        if self._together is None:
            largest = largest_batch(self.device)
            images, labels = self._taken(torch.arange(1))
            alone = Recording(self._scene, classify, images, labels)
            self._together = max(1, min(largest, RECORDED_BYTES // max(1, alone.bytes)))
        return self._together

    def parts(self, places: Tensor) -> list[Tensor]:
        """Images by number, in parts that can be run at once."""
        size = self.together()
        return [places[start : start + size] for start in range(0, len(places), size)]

    @cached_property
    def losses_now(self) -> NDArray[np.float64]:
        """(N,): the losses on all images without any contender, as they were when first asked for."""
        parts = self.parts(torch.arange(len(self.images)))
        found = [classify(self.model, *self._taken(part)).each for part in parts]
        return torch.cat(found).double().cpu().numpy()

    def losses(self, contenders: Sequence[Contender], places: Tensor) -> list[Tensor]:
        """The losses (B,) of each contender on the images at `places` (B,)."""
        images, labels = self._taken(places)
        resumed = [each for each in contenders if each.way is Way.RESUMED]
        found: dict[int, Tensor] = {}
        if len(resumed) >= LEAST_RECORDED:
            with suppress(OtherPath):  # then by whole passes
                found = self._resumed(resumed, images, labels)
        for each in contenders:
            if id(each) not in found:
                found[id(each)] = self._whole(each, images, labels)
        return [found[id(each)] for each in contenders]

    def cheapest_way(self, removed: Removed, cut: nn.Module) -> Way:
        """The first way by which the losses on all images are those of the `cut` network."""
        images, labels = self._taken(torch.arange(len(self.images)))
        expected = classify(cut, images, labels).each
        for way in (Way.RESUMED, Way.SILENT):
            each = self.contender(removed, way)
            try:
                found = (
                    self._resumed([each], images, labels)[id(each)]
                    if way is Way.RESUMED
                    else self._whole(each, images, labels)
                )
            except RuntimeError:  # the network cannot be taken up there
                continue
            if torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE**2):
                return way
        return Way.CUT

    def _whole(self, contender: Contender, images: Tensor, labels: Tensor) -> Tensor:
        """By a whole pass."""
        if contender.way is Way.CUT:
            if not contender.cut:
                contender.cut.append(self._without(contender))
            return classify(contender.cut[0], images, labels).each
        with self.silent(contender):
            return classify(self.model, images, labels).each

    def _without(self, contender: Contender) -> nn.Module:
        """A copy without the contender's channels and those that are gone."""
        planned = make_plan(self.graph, self._with(contender))
        return carry_out(planned.plan, copy.deepcopy(self.model))

    def _with(self, contender: Contender) -> dict[str, tuple[int, ...]]:
        """What is gone when the contender's channels are."""
        more = {
            name: tuple(sorted((*self.gone.get(name, ()), *channels)))
            for name, channels in contender.removed.items()
        }
        return {**self.gone, **more}

    def _resumed(self, contenders: Iterable[Contender], images: Tensor, labels: Tensor) -> dict[int, Tensor]:
        """By one recorded pass, taken up for each; the latest maps first, as the recording wants."""
        recording = Recording(self._scene, classify, images, labels)
        order = {layer: number for number, layer in enumerate(recording.layers)}
        if any(layer not in order for each in contenders for layer in each.filters):
            raise OtherPath("not all maps of these layers were recorded")
        # Of the layers that make a contender's channels, the one whose map comes first in a pass.
        starts = [(max(each.filters, key=order.__getitem__), each) for each in contenders]
        return {
            id(each): self._from(recording, layer, each)
            for layer, each in sorted(starts, key=lambda start: order[start[0]])
        }

    def _from(self, recording: Recording, layer: str, contender: Contender) -> Tensor:
        """From the feature maps of `layer` on."""
        values = torch.ones(self._scene.layers[layer].channels, dtype=self._dtype, device=self.device)
        values[contender.filters[layer]] = 0
        gate = gate_of(values, self._scene.places[layer][0].axis)
        with self.silent(contender):
            return recording.run(layer, gate, lambda losses: losses.each)

    def _taken(self, places: Tensor) -> tuple[Tensor, Tensor]:
        return self.images.taken(places, device=self.device, dtype=self._dtype)


def largest_batch(device: torch.device) -> int:
    """How many images are run at once on the device, where they have room."""
    return LARGEST_BATCH.get(device.type, LARGEST_BATCH_ELSEWHERE)


@contextmanager
def at_work(model: nn.Module, device: torch.device, images: Images) -> Iterator[None]:
    """Inside, the network is in evaluation mode on `device`, without gradients; then on the CPU as it was."""
    try:
        with torch.no_grad(), modes_kept(model), layout_kept(model):
            model.to(device).eval()
            sample, _ = images.taken(
                torch.arange(min(2, len(images))), device=device, dtype=floating_dtype(model)
            )
            lay_out(model, sample)
            yield
    finally:
        model.cpu()


def find_ways(
    model: nn.Module, graph: ChannelGraph, halves: Mapping[str, Removed], images: Images
) -> tuple[dict[str, Way], dict[str, str]]:
    """Group → the cheapest way that gives the losses of the cut network; groups that no plan can cut → why.

    Each is tried on a copy in float64, without what `halves` has for it: half of its channels or so, and what
    must leave with them. It is a matter of the network's structure: what holds for the whole network holds
    for what is left of it.
    """
    few = replace(images, split=take(images.split, torch.arange(min(TRIED_IMAGES, len(images)))))
    ways: dict[str, Way] = {}
    protected: dict[str, str] = {}
    tried = copy.deepcopy(model).cpu().double()
    with at_work(tried, torch.device("cpu"), few):
        bench = Bench(tried, graph, few)
        for name, half in halves.items():
            planned = make_plan(graph, half)
            whole = next((planned.protected[each] for each in half if each in planned.protected), None)
            if whole is not None:
                protected[name] = whole
            else:
                cut = carry_out(planned.plan, copy.deepcopy(tried))
                ways[name] = bench.cheapest_way(half, cut)
    return ways, protected


def classify(model: nn.Module, images: Tensor, labels: Tensor) -> Losses:
    """The cross-entropy of every image (B,), and whether it was classified right (B,)."""
    logits = logits_of(model(images))
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    each = functional.cross_entropy(logits, labels, reduction="none")
    return Losses(each, logits.argmax(dim=1) == labels)
