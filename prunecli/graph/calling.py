"""How a network is called, told from its class and the signature of its forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from torch import nn

from prunecli.graph.detectors import detector
from prunecli.graph.inputs import Calling, Input
from prunecli.graph.transformers_inputs import transformers_model

Convention = Callable[[nn.Module, tuple[int, ...]], Calling | None]


def calling_of(model: nn.Module, input_shape: Sequence[int]) -> Calling:
    """How `model` is called when one input has the shape `input_shape`, without batch.

    A network whose forward needs several arguments gets each in this shape. One with a method
    `example_inputs(batch)` says itself what it takes.
    """
    shape = tuple(input_shape)
    for convention in CONVENTIONS:
        found = convention(model, shape)
        if found is not None:
            return found
    return Calling((Input(shape),) * _needed(model))


def _own_inputs(model: nn.Module, shape: tuple[int, ...]) -> Calling | None:
    """The network's own method; ids are drawn from 0 up to the largest that it shows."""
    give = getattr(model, "example_inputs", None)
    if not callable(give):
        return None
    shown = give(2)
    return Calling(
        tuple(
            Input(tuple(each.shape[1:]), None if each.is_floating_point() else int(each.max()) + 1)
            for each in shown
        )
    )


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
