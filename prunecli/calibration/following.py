"""Follows what the layers make through a running forward pass, up to their feature maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from prunecli.calibration.observing import Scene
from prunecli.calibration.places import (
    ACTIVATIONS,
    IDLE,
    LAYERS,
    Place,
    layer_weights,
    tensors_in,
    weight_of,
)


class Follower:
    """Is told of every torch function of one forward pass, and says whose output or feature map came out."""

    def __init__(self, scene: Scene) -> None:
        self._places = scene.places
        self._named = layer_weights(scene.graph, scene.model)
        self._calls: dict[str, int] = {}
        # Identity of a tensor → its place, how much of the chain it has gone through, and the tensor itself,
        # so that no other tensor gets its identity.
        self._on_the_way: dict[int, tuple[Place, int, Tensor]] = {}

    def saw(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> tuple[Place | None, Place | None]:
        """The place whose layer was called just now, and the one whose feature map `result` is."""
        if name in LAYERS:
            place = self._called(self._named.get(id(weight_of(args, kwargs))))
            if place is None or not isinstance(result, Tensor):
                return None, None
            return place, self._arrived(place, 0, result)
        given = subject_of(args, kwargs)
        known = self._on_the_way.pop(id(given), None)
        if known is None:
            return None, None
        place, done, _ = known
        if isinstance(result, Tensor) and name == place.chain[done]:
            return None, self._arrived(place, done + 1, result)
        if not tensors_in(result):  # its shape was asked for, or the like
            self._on_the_way[id(given)] = known
        return None, None  # else another path than on the meta device: this call is lost

    def _called(self, layer: str | None) -> Place | None:
        if layer is None or layer not in self._places:
            return None
        occurrence = self._calls.get(layer, 0)
        self._calls[layer] = occurrence + 1
        places = self._places[layer]
        return places[occurrence] if occurrence < len(places) else None

    def _arrived(self, place: Place, done: int, tensor: Tensor) -> Place | None:
        if done == len(place.chain):
            return place
        self._on_the_way[id(tensor)] = (place, done, tensor)
        return None


def subject_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a function works on: its first argument, or the one that is called `input`."""
    return args[0] if args else kwargs.get("input")


def overwritten(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The tensor that the call overwrites, None when it overwrites none."""
    name, out = str(getattr(func, "__name__", "")), kwargs.get("out")
    if isinstance(out, Tensor):
        return out
    if name.startswith("__"):
        reads = {"__int__", "__index__", "__invert__", "__iter__"}
        in_place = name == "__setitem__" or (name.startswith("__i") and name not in reads)
    else:
        switched_on = name in ACTIVATIONS | IDLE and any(each is True for each in args[1:])
        in_place = name.endswith("_") or kwargs.get("inplace") is True or switched_on
    subject = subject_of(args, kwargs)
    return subject if in_place and isinstance(subject, Tensor) else None


def storage_of(tensor: Tensor) -> int:
    """Where the tensor's numbers lie: the same for all views of them."""
    return tensor.untyped_storage().data_ptr()
