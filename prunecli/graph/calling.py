"""How a network is called, told from its class and the signature of its forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn

from prunecli.graph.detectors import detector
from prunecli.graph.inputs import Calling, Input
from prunecli.graph.meta_shapes import OnShapes
from prunecli.graph.recurrent import recurrent_layers_whole
from prunecli.graph.transformers_inputs import transformers_model

Convention = Callable[[nn.Module, tuple[int, ...]], Sequence[Calling]]
Found = TypeVar("Found")


def callings_of(model: nn.Module, input_shape: Sequence[int]) -> Sequence[Calling]:
    """How `model` may be called when one input has the shape `input_shape`, without batch; the likely first.

    A network whose forward needs several arguments gets each in this shape. One with a method
    `example_inputs(batch)` says itself what it takes.
    """
    shape = tuple(input_shape)
    for convention in CONVENTIONS:
        found = convention(model, shape)
        if found:
            return found
    return (Calling((Input(shape),) * _needed(model)),)


def calling_of(model: nn.Module, input_shape: Sequence[int]) -> Calling:
    """The first way in which `model`, on the meta device, can be called; raises what the likeliest raises."""

    def call(calling: Calling) -> None:
        with torch.no_grad(), recurrent_layers_whole(model), OnShapes():
            calling.run(model, calling.empty(model))

    return first_calling(model, input_shape, call)[0]


def first_calling(
    model: nn.Module, input_shape: Sequence[int], call: Callable[[Calling], Found]
) -> tuple[Calling, Found]:
    """The first way to call `model` in which `call` does not fail, with what it found.

    Raises what it raised the likeliest way.
    """
    failures: list[Exception] = []

    def tried(calling: Calling) -> tuple[Calling, Found] | None:
        try:
            return calling, call(calling)
        except Exception as error:
            failures.append(error)
            return None

    found = next(filter(None, map(tried, callings_of(model, input_shape))), None)
    if found is None:
        raise failures[0]
    return found


def _own_inputs(model: nn.Module, shape: tuple[int, ...]) -> Sequence[Calling]:
    """The network's own method; ids are drawn from 0 up to the largest that it shows."""
    give = getattr(model, "example_inputs", None)
    if not callable(give):
        return ()
    inputs = [
        Input(tuple(each.shape[1:]), None if each.is_floating_point() else int(each.max()) + 1)
        for each in give(2)
    ]
    return (Calling(tuple(inputs)),)


def _needed(model: nn.Module) -> int:
    """How many arguments the forward cannot do without, at least one."""
    taken = inspect.signature(model.forward).parameters.values()
    wanted = [
        each
        for each in taken
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return max(1, len(wanted))


CONVENTIONS: tuple[Convention, ...] = (_own_inputs, transformers_model, detector)
