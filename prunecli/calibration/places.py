"""Where in a forward pass a layer is called, and where its feature maps are what others read.

A layer's output often goes through its own batch norm and activation function before anything else reads
it. Its *feature map* is what comes out of that chain: silencing a channel there is what removing the filter
does. The chain ends where a second reader, or another kind of operation (a sum, a concatenation, a norm over
channels), comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from prunecli.graph.channel_graph import ChannelGraph

CONVOLUTIONS = {
    name + str(dimensions) + "d" for name in ("conv", "conv_transpose") for dimensions in (1, 2, 3)
}
LAYERS = {*CONVOLUTIONS, "linear"}
RECTIFIERS = {"relu", "relu6", "hardtanh", "threshold"}
ACTIVATIONS = {
    *RECTIFIERS,
    *(
        "celu",
        "elu",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "leaky_relu",
        "logsigmoid",
        "mish",
        "prelu",
        "rrelu",
    ),
    *("selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink"),
}
# In evaluation mode these hand their input on.
IDLE = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"}

# How many images there are on the meta device: no other dimension of a network is a multiple of it.
MANY_IMAGES = 1009


@dataclass(frozen=True)
class Place:
    """One call of a layer in a forward pass."""

    layer: str
    occurrence: int
    """Which of the calls of this layer it is, from 0: a shared layer is called several times."""
    chain: tuple[str, ...]
    """The functions that the output goes through before anything else reads it: ("batch_norm", "relu")."""
    axis: int
    """The channel axis of the output: 1 of a convolution's, −1 of a linear layer's."""

    @property
    def rectified(self) -> bool:
        """Whether the feature map comes out of a rectifier, so that it has exact zeros."""
        return any(name in RECTIFIERS for name in self.chain)


@dataclass(frozen=True)
class Event:
    """One torch function of a forward pass, as its caller sees it."""

    name: str
    weight: int | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int, ...]
    """Of the first output."""


class FunctionRecorder(TorchFunctionMode):
    """Records the torch functions that a forward pass calls and the tensors that go through them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self._alive: list[Any] = []  # keeps ids from being used twice

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function and note it down."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        if outputs:
            inputs = tensors_in((args, kwargs))
            self._alive.extend((inputs, outputs))
            name = function_name(func)
            weight = id(weight_of(args, kwargs)) if name in LAYERS else None
            read, made = (tuple(id(tensor) for tensor in tensors) for tensors in (inputs, outputs))
            self.events.append(Event(name, weight, read, made, tuple(outputs[0].shape)))
        return result


def find_places(graph: ChannelGraph) -> dict[str, tuple[Place, ...]]:
    """Layer → its calls, found on the meta device.

    Layers that are called in no known way are left out, and those whose output has not images in its first
    dimension or not one channel a filter (a grouped transposed convolution has several).
    """
    model = graph.model
    recorder = FunctionRecorder()
    was_training = model.training
    try:
        with torch.no_grad(), recorder:
            graph.calling.run(model.eval(), graph.calling.empty(model, batch=MANY_IMAGES))
    finally:
        model.train(was_training)
    named = layer_weights(graph, model)
    places: dict[str, list[Place]] = {}
    strange: set[str] = set()
    filters = {layer.name: layer.channels for layer in graph.layers}
    for index, event in enumerate(recorder.events):
        layer = named.get(event.weight) if event.weight is not None else None
        if layer is None:
            continue
        calls = places.setdefault(layer, [])
        axis = 1 if event.name in CONVOLUTIONS else -1
        calls.append(Place(layer, len(calls), _chain(recorder.events, index), axis))
        channels = event.shape[axis] if len(event.shape) > 1 else 0
        if event.shape[0] % MANY_IMAGES or channels != filters[layer]:
            strange.add(layer)
    return {layer: tuple(calls) for layer, calls in places.items() if layer not in strange}


def layer_weights(graph: ChannelGraph, model: nn.Module) -> dict[int | None, str]:
    """Identity of each layer's weight in `model` → the layer's name."""
    return {id(model.get_parameter(layer.weight)): layer.name for layer in graph.layers}


def function_name(func: Callable[..., Any]) -> str:
    """The function's name without the mark of working in place: "relu" for relu_."""
    name = str(getattr(func, "__name__", ""))
    return name if name.startswith("__") else name.rstrip("_")


def weight_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The weight that a convolution or linear function was called with."""
    return args[1] if len(args) > 1 else kwargs.get("weight")


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested arguments or results."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _chain(events: Sequence[Event], start: int) -> tuple[str, ...]:
    """Names of the functions of one input and one reader each that the output of `start` goes through."""
    chain: list[str] = []
    index = start
    while True:
        output = events[index].outputs[0]
        readers = [at for at in range(index + 1, len(events)) if output in events[at].inputs]
        if not readers:
            return tuple(chain)
        name = events[readers[0]].name
        in_place = output in events[readers[0]].outputs
        fits = name in ACTIVATIONS or name in IDLE or (name == "batch_norm" and not chain)
        if not fits or (len(readers) > 1 and not in_place) or events[readers[0]].inputs[0] != output:
            return tuple(chain)
        chain.append(name)
        index = readers[0]
