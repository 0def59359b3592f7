"""Takes a forward pass up again at a layer's feature map, so that what lies before the map is computed once.

A pass is recorded function by function. When it is taken up, functions up to the map answer with what they
answered then; the map goes through a gate, and everything behind it is computed. What functions overwrote in
place is put back first. Whether a network can be run like that is tried, not assumed: with an open gate its
losses must come out as they were. Otherwise it is run from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunecli.calibration.following import Follower, overwritten, storage_of
from prunecli.calibration.observing import CalibrationBatches, Losses, Objective, Scene
from prunecli.calibration.places import function_name, tensors_in
from prunecli.calibration.uniting import unite, unite_counts
from prunecli.progress import Progress

Result = TypeVar("Result")
Gate = Callable[[Tensor], Tensor]
"""From a feature map to what the rest of the network is to read in its place."""

# As many images are recorded together as have their tensors in so much memory, one at least.
RECORDED_BYTES = 1 << 30


class OtherPath(RuntimeError):
    """The network called other functions than when it was recorded."""


@dataclass(frozen=True, eq=False)
class _Step:
    """One torch function of the recorded pass."""

    name: str
    result: Any
    overwrote: bool

    @property
    def answers(self) -> bool:
        """Whether its result stands for running it; sizes and settings are asked for anew."""
        return self.overwrote or bool(tensors_in(self.result))


class _Overwritten:
    """What tensors held before functions overwrote them, the latest last."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor, Tensor]] = []

    def keep(self, index: int, tensor: Tensor) -> None:
        self._kept.append((index, tensor, tensor.detach().clone()))

    def put_back(self, after: int = -1) -> None:
        """Undo what the functions behind the one of index `after` overwrote."""
        with torch.no_grad():
            while self._kept and self._kept[-1][0] > after:
                _, tensor, before = self._kept.pop()
                if tensor.requires_grad:
                    tensor.detach_()
                tensor.copy_(before)

    @property
    def bytes(self) -> int:
        return sum(before.nbytes for _, _, before in self._kept)


class _Recorder(TorchFunctionMode):
    """Notes down every function of a pass."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self.maps: dict[str, list[int]] = {}
        self.silent: dict[str, Tensor] = {}
        self.overwritten = _Overwritten()
        self._places = scene.places
        self._follower = Follower(scene)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function and keep its result."""
        kwargs, name = kwargs or {}, function_name(func)
        target = overwritten(func, args, kwargs)
        if target is not None:
            self.overwritten.keep(len(self.steps), target)
        result = func(*args, **kwargs)
        _, mapped = self._follower.saw(name, args, kwargs, result)
        if mapped is not None:
            silent = (result == 0).movedim(mapped.axis, 0).flatten(1).all(dim=1)
            known = self.silent.get(mapped.layer)
            self.silent[mapped.layer] = silent if known is None else known & silent
            self.maps.setdefault(mapped.layer, []).append(len(self.steps))
        self.steps.append(_Step(name, result, target is not None))
        return result


class _Resumed(TorchFunctionMode):
    """Runs a pass with a gate on the results of the steps `at`, from step `start` on anew."""

    def __init__(self, recording: Recording, at: list[int], start: int, gate: Gate) -> None:
        super().__init__()
        self.overwritten = _Overwritten()
        self._recording, self._at, self._start, self._gate = recording, at, start, gate
        self._index = -1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Answer as recorded, or run the function."""
        kwargs = kwargs or {}
        self._index += 1
        step = self._recording.step(self._index, function_name(func))
        if self._index < self._start and step.answers:
            return step.result
        if self._index < self._start:
            return func(*args, **kwargs)
        target = overwritten(func, args, kwargs)
        if target is not None and self._recording.owns(target):
            self.overwritten.keep(self._index, target)
        if self._index in self._at:
            return self._gated(step, target, func, args, kwargs)
        return func(*args, **kwargs)

    def _gated(
        self, step: _Step, target: Tensor | None, func: Callable[..., Any], args: Any, kwargs: Any
    ) -> Tensor:
        """The map behind the gate; where it was made in place, in that place."""
        answered = self._index == self._start
        if target is None:
            return self._gate(step.result if answered else func(*args, **kwargs))
        made = target.clone()
        if not answered:
            made = func(made, *args[1:], **{**kwargs, **({} if args else {"input": made})})
        target.copy_(self._gate(made))
        return target


class Recording:
    """A forward pass on a batch without gradients, which can be run again with a gate on a layer's maps."""

    def __init__(self, scene: Scene, objective: Objective, images: Tensor, labels: Tensor) -> None:
        self._scene, self._objective = scene, objective
        self._images, self._labels = images.clone(), labels
        self._from_start = False
        self._record()
        self.losses = self._recorded_losses

    def _record(self) -> None:
        self._recorder = _Recorder(self._scene)
        with torch.no_grad(), self._recorder:
            self._recorded_losses = self._objective(self._scene.model, self._images, self._labels)
        results = (tensor for step in self._recorder.steps for tensor in tensors_in(step.result))
        held = {storage_of(tensor): tensor.untyped_storage().nbytes() for tensor in [self._images, *results]}
        self._owned = set(held)
        self.bytes = sum(held.values()) + self._recorder.overwritten.bytes

    @property
    def layers(self) -> list[str]:
        """The layers all of whose feature maps were there, those with the latest first map first."""
        maps, places = self._recorder.maps, self._scene.places
        seen = [layer for layer, steps in maps.items() if len(steps) == len(places[layer])]
        return sorted(seen, key=lambda layer: -maps[layer][0])

    def silent(self, layer: str) -> Tensor:
        """(F,) bool: the filters whose feature maps are zero everywhere."""
        return self._recorder.silent[layer]

    def step(self, index: int, name: str) -> _Step:
        """What was recorded; raises OtherPath when it was another function or none."""
        steps = self._recorder.steps
        if index >= len(steps) or steps[index].name != name:
            raise OtherPath(f"{name} was not recorded here")
        return steps[index]

    def owns(self, tensor: Tensor) -> bool:
        """Whether the tensor's numbers are part of the recording."""
        return storage_of(tensor) in self._owned

    def run(self, layer: str, gate: Gate, read: Callable[[Losses], Result]) -> Result:
        """What `read` makes of the losses when the layer's feature maps go through `gate`.

        Layers are to be taken in the order of `layers`; gradients are taken by `read`.
        """
        at = self._recorder.maps[layer]
        start = -1 if self._from_start else at[0]
        if not self._from_start:
            self._recorder.overwritten.put_back(after=start)
        mode = _Resumed(self, at, start, gate)
        try:
            with mode:
                losses = self._objective(self._scene.model, self._images, self._labels)
            return read(losses)
        finally:
            mode.overwritten.put_back()

    def repeats(self, layer: str, open_gate: Gate, read: Callable[[Losses], object]) -> bool:
        """Whether the losses with an open gate are those that were recorded; to be asked before `run`."""
        if not self._from_start:
            try:
                if self._agrees(layer, open_gate, read):
                    return True
            except RuntimeError:
                pass  # a step that cannot be taken up, such as writing into a view: run all of it instead
            self._from_start = True
            self._record()
        try:
            return layer in self._recorder.maps and self._agrees(layer, open_gate, read)
        except OtherPath:
            return False

    def _agrees(self, layer: str, open_gate: Gate, read: Callable[[Losses], object]) -> bool:
        def compare(losses: Losses) -> bool:
            read(losses)
            return torch.allclose(losses.each.detach(), self.losses.each, rtol=1e-4, atol=1e-5)

        return self.run(layer, open_gate, compare)


def recordings(
    scene: Scene, batches: CalibrationBatches, objective: Objective
) -> Iterator[tuple[int, Recording]]:
    """The batches as recordings, each with its number of images; split where they would take much memory."""
    together = 0
    for images, labels in batches:
        if not together:
            # The first image also makes what a network prepares at its first call.
            alone = Recording(scene, objective, images[:1], labels[:1])
            together = max(1, RECORDED_BYTES // max(1, alone.bytes))
            del alone
        for start in range(0, len(labels), together):
            part = slice(start, start + together)
            yield len(labels[part]), Recording(scene, objective, images[part], labels[part])


def means_over_images(
    scene: Scene,
    batches: CalibrationBatches,
    objective: Objective,
    summed: Callable[[Scene, Recording, str], Tensor | None],
    *,
    passes: Mapping[str, int],
    stage: str,
    progress: Progress,
) -> dict[str, Tensor]:
    """Layer → the mean over images of what `summed` finds over a recording's, where it can.

    The batches are those that this process runs, and the means are over the images of all processes.
    `passes` says how many a layer takes, for the progress that is reported under `stage`.
    """
    names, processes = list(scene.layers), scene.processes
    totals: dict[str, Tensor] = {}
    counted: dict[str, int] = {}
    every = sum(passes.values())
    seen = 0
    for count, recording in recordings(scene, batches, objective):
        done = seen * every
        seen += count
        for layer in recording.layers:
            found = summed(scene, recording, layer)
            if found is not None:
                totals[layer] = totals[layer] + found if layer in totals else found
                counted[layer] = counted.get(layer, 0) + count
            done += count * passes[layer]
            most = max(scene.images, seen) * every
            progress(stage, min(done * processes.count, most), most, {})
    unite(totals, names, processes=processes, device=scene.device)
    unite_counts(counted, names, processes)
    seen = int(processes.total(torch.tensor(seen)))
    return {layer: total / seen for layer, total in totals.items() if counted[layer] == seen}


def gate_of(values: Tensor, axis: int) -> Gate:
    """A gate that multiplies every channel along `axis` (1 or −1) with its value: (F,)."""

    def gate(feature_map: Tensor) -> Tensor:
        trailing = 0 if axis == -1 else feature_map.dim() - 1 - axis
        return feature_map * values.reshape(-1, *[1] * trailing)

    return gate
