"""One forward pass on a copy that carries no weights: on the meta device, else on the CPU.

The meta device knows shapes only, so a pass over it costs neither memory nor arithmetic, and attention
is seen as the matrix products it is: the CPU runs it in one fused kernel that no counter looks into.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from prunecli.errors import InputRefused
from prunecli.graph.calling import callings_of
from prunecli.graph.inputs import Calling, Input, weights_type
from prunecli.graph.meta import meta_copy
from prunecli.graph.meta_shapes import OnShapes

T = TypeVar("T")
Inputs = Tensor | Sequence[Any] | Mapping[str, Any]
"""One tensor, positional arguments, or keyword arguments of the model's forward, at batch 1."""


@dataclass(frozen=True)
class Call:
    """A model in evaluation mode and what to call it with."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> object:
        """Run the forward pass without gradients."""
        with torch.no_grad():
            return self.model(*self.args, **self.kwargs)


def with_a_copy(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    inputs: Inputs | None = None,
    action: Callable[[Call], T],
) -> tuple[T, str | None]:
    """What `action` makes of a call to a copy of `model`, and a note when the CPU had to serve.

    `input_shape` is without the batch axis; `inputs` take its place for models that want something else
    than one tensor of floats. `model` itself is neither run nor changed. Raises InputRefused when the
    forward pass fails on both devices.
    """
    shape = (1, *input_shape)
    callings = [each for each in callings_of(model, input_shape) if each.parts is None]
    callings = callings or [Calling((Input(tuple(input_shape)),))]  # the cost is that of the whole network
    failures: list[Exception] = []
    for calling in callings:
        given = _given(calling, calling.empty(model, batch=1)) if inputs is None else inputs
        found, failure = _attempt(_call(meta_copy(model), given, device="meta"), action)
        if failure is None:
            return cast("T", found), None
        failures.append(failure)
    if _has_no_values(model):
        raise _refusal(shape, inputs, failures[0]) from failures[0]
    if inputs is None:
        drawn = callings[0].random(torch.Generator().manual_seed(0), weights_type(model), batch=1)
        given = _given(callings[0], [each.abs() for each in drawn])  # as pictures are: none is negative
    try:
        with _attention_as_products():
            found = action(_call(copy.deepcopy(model).cpu(), given, device="cpu"))
    except Exception as failure:
        raise _refusal(shape, inputs, failure) from failure
    return found, f"run on the CPU on one random input: the meta device refused ({_first_line(failures[0])})"


def _attempt(call: Call, action: Callable[[Call], T]) -> tuple[T | None, Exception | None]:
    """What the action found, or whatever the model raised, as one that asks for values does."""
    try:
        with OnShapes():  # outermost: who counts operations sees them first
            return action(call), None
    except Exception as failure:
        return None, failure


def _given(calling: Calling, tensors: Sequence[Tensor]) -> Inputs:
    args, kwargs = calling.arguments(tensors)
    return kwargs or args


def _call(model: nn.Module, given: Inputs, *, device: str) -> Call:
    moved: Any = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), given)
    model.eval()
    if isinstance(moved, Tensor):
        return Call(model, (moved,), {})
    if isinstance(moved, Mapping):
        return Call(model, (), dict(moved))
    return Call(model, tuple(moved), {})


def _has_no_values(model: nn.Module) -> bool:
    return any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


@contextlib.contextmanager
def _attention_as_products() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _refusal(shape: Sequence[int], inputs: Inputs | None, failure: Exception) -> InputRefused:
    if inputs is not None:
        return InputRefused("the model does not run on the inputs given", hints=[_first_line(failure)])
    return InputRefused(
        f"the model does not run on an input of shape {tuple(shape)}",
        hints=[_first_line(failure), "give the shape it was made for with --input-shape"],
    )


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {lines[0]}" if lines else type(failure).__name__
