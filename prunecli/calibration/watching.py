"""One forward and backward pass under observation: hands outputs, feature maps and gradients to observers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunecli.calibration.following import Follower, overwritten, storage_of, subject_of
from prunecli.calibration.observing import LayerCall, Observer, Scene
from prunecli.calibration.places import CONVOLUTIONS, Place, function_name
from prunecli.criteria.evidence import at_least_float32
from prunecli.errors import WorkFailed

SHOWN = ("called", "mapped", "pictured", "output_gradient", "map_gradient")
# Not every feature map is a picture; the others are shown for every call of a layer, or the layer is lost.
ALWAYS_SHOWN = ("called", "mapped", "output_gradient", "map_gradient")


class _Held:
    """A tensor whose values are wanted in the backward pass, kept from being overwritten until then."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor: Tensor | None = tensor.detach()
        self._version = tensor._version

    def copy(self) -> None:
        if self._tensor is not None:
            self._tensor = self._tensor.clone()
            self._version = self._tensor._version

    def release(self, place: Place) -> Tensor:
        """The values, which are held no longer."""
        tensor, self._tensor = self._tensor, None
        if tensor is None or tensor._version != self._version:
            raise WorkFailed(
                f"the network overwrites the feature maps of {place.layer} unseen",
                hints=["take criteria that need no gradients of feature maps"],
            )
        return tensor


class Watch(TorchFunctionMode):
    """Active during one forward pass; gradients are handed on when the backward pass reaches them."""

    def __init__(self, scene: Scene, observers: Sequence[Observer], *, images: int) -> None:
        super().__init__()
        self._scene = scene
        self._images = images
        self._follower = Follower(scene)
        # Where a tensor's numbers lie → what is held of them.
        self._held: dict[int, list[_Held]] = {}
        self._times: Counter[tuple[str, str]] = Counter()
        self._shown = {method: [each for each in observers if each.overrides(method)] for method in SHOWN}
        self._reads_inputs = any(each.reads_inputs for each in self._shown["output_gradient"])

    def lost(self) -> dict[str, set[str]]:
        """Method of observers → layers that it was not shown all calls of; to be asked after the backward."""
        return {
            method: {
                layer
                for layer, places in self._scene.places.items()
                if self._times[method, layer] != len(places)
            }
            for method in ALWAYS_SHOWN
            if self._shown[method]
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function, and look at what comes out of it."""
        kwargs = kwargs or {}
        name = function_name(func)
        target = overwritten(func, args, kwargs)
        if target is not None:
            for held in self._held.pop(storage_of(target), ()):
                held.copy()
        result = func(*args, **kwargs)
        called, mapped = self._follower.saw(name, args, kwargs, result)
        if called is not None:
            self._layer_called(called, name, args, kwargs, result)
        if mapped is not None:
            self._map_is_there(mapped, result)
        return result

    def _layer_called(
        self, place: Place, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Tensor
    ) -> None:
        shaped = self._as_map(output, place)
        if shaped is None:
            return
        inputs = subject_of(args, kwargs)
        if self._shown["called"]:
            self._times["called", place.layer] += 1
        for observer in self._shown["called"]:
            observer.called(place, inputs.detach(), shaped.detach())
        if self._shown["output_gradient"] and output.requires_grad:
            self._await_output(place, name, args, kwargs, output)

    def _map_is_there(self, place: Place, tensor: Tensor) -> None:
        shaped = self._as_map(tensor, place)
        if shaped is None:
            return
        if self._shown["mapped"]:
            self._times["mapped", place.layer] += 1
        for observer in self._shown["mapped"]:
            observer.mapped(place, shaped.detach())
        if tensor.dim() == 4 and tensor.shape[0] == self._images:
            picture = at_least_float32(tensor.detach()).movedim(place.axis, 1)
            for observer in self._shown["pictured"]:
                observer.pictured(place, picture)
        if self._shown["map_gradient"] and tensor.requires_grad:
            self._await_map(place, tensor)

    def _await_map(self, place: Place, tensor: Tensor) -> None:
        held = self._hold(tensor)

        def arrived(gradient: Tensor) -> None:
            feature_map = self._as_map(held.release(place), place)
            slope = self._as_map(gradient.detach(), place)
            if feature_map is not None and slope is not None:
                self._times["map_gradient", place.layer] += 1
                for observer in self._shown["map_gradient"]:
                    observer.map_gradient(place, feature_map, slope)

        tensor.register_hook(arrived)  # type: ignore[no-untyped-call]

    def _await_output(
        self, place: Place, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Tensor
    ) -> None:
        held = self._hold(output)
        read = self._hold(subject_of(args, kwargs)) if self._reads_inputs else None
        settings = _settings(name, args, kwargs)

        def arrived(gradient: Tensor) -> None:
            linear = self._as_map(held.release(place), place)
            raw = at_least_float32(gradient.detach())
            slope = self._as_map(raw, place)
            inputs = None if read is None else at_least_float32(read.release(place))
            if linear is not None and slope is not None:
                self._times["output_gradient", place.layer] += 1
                call = LayerCall(place, name, inputs, raw, settings, self._images)
                for observer in self._shown["output_gradient"]:
                    observer.output_gradient(call, linear, slope)

        output.register_hook(arrived)  # type: ignore[no-untyped-call]

    def _hold(self, tensor: Tensor) -> _Held:
        held = _Held(tensor)
        self._held.setdefault(storage_of(tensor), []).append(held)
        return held

    def _as_map(self, tensor: Tensor, place: Place) -> Tensor | None:
        """(B, F, P), or None when the first dimension does not count images.

        Windows and patches that were moved into the batch dimension count as positions of their image.
        """
        first = tensor.shape[0]
        if tensor.dim() < 2 or not first or first % self._images:
            return None
        maps = at_least_float32(tensor).movedim(place.axis, 1)
        if first == self._images:
            return maps.flatten(2) if maps.dim() > 2 else maps.unsqueeze(2)
        parts = maps.reshape(self._images, first // self._images, maps.shape[1], -1)
        return parts.transpose(1, 2).flatten(2)


def _settings(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a convolution was called with after its input, weight and bias; nothing for a linear function."""
    if name not in CONVOLUTIONS:
        return {}
    names: tuple[str, ...] = ("stride", "padding", "dilation", "groups")
    if "transpose" in name:
        names = ("stride", "padding", "output_padding", "groups", "dilation")
    given = dict(zip(names, args[3:], strict=False))
    return {**given, **{key: kwargs[key] for key in names if key in kwargs}}


def parameters_wanted(scene: Scene, observers: Sequence[Observer]) -> set[str]:
    """Names of the parameters whose gradients some observer reads."""
    wanted: set[str] = set()
    for layer in scene.graph.layers:
        if any(each.reads_weight_gradients for each in observers):
            wanted.add(layer.weight)
        if layer.batch_norm is not None and any(each.reads_norm_gradients for each in observers):
            wanted.update(f"{layer.batch_norm}.{name}" for name in ("weight", "bias"))
    return wanted & {name for name, _ in scene.model.named_parameters()}


def reads_gradients(observers: Sequence[Observer]) -> bool:
    """Whether a backward pass is needed."""
    return any(
        each.reads_weight_gradients
        or each.reads_norm_gradients
        or each.overrides("output_gradient")
        or each.overrides("map_gradient")
        for each in observers
    )


def start_of_graph(images: Tensor, observers: Sequence[Observer]) -> Tensor:
    """The images, differentiable when maps need gradients that no layer's weight brings about."""
    weights = any(each.reads_weight_gradients for each in observers)
    # A copy, for networks that write into what they are given.
    return images.detach().requires_grad_(torch.is_grad_enabled() and not weights).clone()
