"""One forward and backward pass under observation: hands outputs, feature maps and gradients to observers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunecli.calibration.observing import Observer, Scene
from prunecli.calibration.places import (
    ACTIVATIONS,
    IDLE,
    LAYERS,
    Place,
    function_name,
    layer_weights,
    tensors_in,
    weight_of,
)
from prunecli.criteria.evidence import at_least_float32
from prunecli.errors import WorkFailed


class _Held:
    """A tensor whose values are wanted later, kept from being overwritten."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()
        self._version = tensor._version

    def copy(self) -> None:
        self.tensor = self.tensor.clone()
        self._version = self.tensor._version

    def values(self, place: Place) -> Tensor:
        if self.tensor._version != self._version:
            raise WorkFailed(
                f"the network overwrites the feature maps of {place.layer} through a view",
                hints=["take criteria that need no gradients of feature maps"],
            )
        return self.tensor


class Watch(TorchFunctionMode):
    """Active during one forward pass; gradients are handed on when the backward pass reaches them."""

    def __init__(self, scene: Scene, observers: Sequence[Observer], *, images: int) -> None:
        super().__init__()
        self._places = scene.places
        self._named = layer_weights(scene.graph, scene.model)
        self._images = images
        self._calls: dict[str, int] = {}
        # Identity of a tensor → the place it belongs to and how much of its chain it has gone through.
        self._following: dict[int, tuple[Place, int]] = {}
        self._held: dict[int, list[_Held]] = {}
        self._alive: list[Tensor] = []
        self._shown = {
            method: [each for each in observers if each.overrides(method)]
            for method in ("called", "mapped", "output_gradient", "map_gradient")
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function, and look at what comes out of it."""
        kwargs = kwargs or {}
        name = function_name(func)
        if (
            args
            and isinstance(args[0], Tensor)
            and id(args[0]) in self._held
            and _in_place(func, args, kwargs)
        ):
            for held in self._held.pop(id(args[0])):
                held.copy()
        result = func(*args, **kwargs)
        if name in LAYERS:
            layer = self._named.get(id(weight_of(args, kwargs)))
            if layer is not None and layer in self._places:
                self._layer_called(layer, args[0] if args else kwargs["input"], result)
        elif args and isinstance(args[0], Tensor) and id(args[0]) in self._following:
            self._went_through(name, args[0], result)
        return result

    def _layer_called(self, layer: str, inputs: Tensor, output: Tensor) -> None:
        occurrence = self._calls.get(layer, 0)
        self._calls[layer] = occurrence + 1
        if occurrence >= len(self._places[layer]):
            return
        place = self._places[layer][occurrence]
        shaped = self._as_map(output, place)
        if shaped is None:
            return
        for observer in self._shown["called"]:
            observer.called(place, inputs.detach(), shaped.detach())
        if self._shown["output_gradient"] and output.requires_grad:
            self._await_output(place, inputs, output)
        self._follow(place, 0, output)

    def _went_through(self, name: str, given: Tensor, result: Any) -> None:
        place, done = self._following.pop(id(given))
        if name == place.chain[done] and isinstance(result, Tensor):
            self._follow(place, done + 1, result)
        elif tensors_in(result):  # another path than on the meta device: this call is not observed
            return
        else:  # its shape was asked for, or the like
            self._following[id(given)] = (place, done)

    def _follow(self, place: Place, done: int, tensor: Tensor) -> None:
        if done < len(place.chain):
            self._following[id(tensor)] = (place, done)
            self._alive.append(tensor)
            return
        shaped = self._as_map(tensor, place)
        if shaped is None:
            return
        for observer in self._shown["mapped"]:
            observer.mapped(place, shaped.detach())
        if self._shown["map_gradient"] and tensor.requires_grad:
            held = self._hold(tensor)

            def arrived(gradient: Tensor) -> None:
                feature_map = self._as_map(held.values(place), place)
                slope = self._as_map(gradient.detach(), place)
                if feature_map is not None and slope is not None:
                    for observer in self._shown["map_gradient"]:
                        observer.map_gradient(place, feature_map, slope)

            tensor.register_hook(arrived)  # type: ignore[no-untyped-call]

    def _await_output(self, place: Place, inputs: Tensor, output: Tensor) -> None:
        held, read = self._hold(output), self._hold(inputs)

        def arrived(gradient: Tensor) -> None:
            linear = self._as_map(held.values(place), place)
            slope = self._as_map(gradient.detach(), place)
            if linear is not None and slope is not None:
                for observer in self._shown["output_gradient"]:
                    observer.output_gradient(place, read.values(place), linear, slope)

        output.register_hook(arrived)  # type: ignore[no-untyped-call]

    def _hold(self, tensor: Tensor) -> _Held:
        held = _Held(tensor)
        self._held.setdefault(id(tensor), []).append(held)
        self._alive.append(tensor)
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


def _in_place(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the call overwrites its first argument."""
    name = str(getattr(func, "__name__", ""))
    if name.startswith("__"):
        return name.startswith("__i") and name not in {"__int__", "__index__", "__invert__", "__iter__"}
    if name.endswith("_") or kwargs.get("inplace") is True:
        return True
    return name in ACTIVATIONS | IDLE and any(each is True for each in args[1:])


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


def float_images(images: Tensor, *, differentiable: bool) -> Tensor:
    """The images, as the start of a graph when maps need gradients though no parameter does."""
    return images.detach().requires_grad_(differentiable and torch.is_grad_enabled())
