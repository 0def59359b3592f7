"""Recurrent layers as one operation each: torch unrolls them into several for every step in time.

`prunecli::lstm`, `::gru`, `::rnn_tanh` and `::rnn_relu` compute what torch's functions of these names do,
without the dropout between layers: who asks for shapes or compares two networks wants none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Kinds of layers → how many gates every hidden unit has, one row of the weights each.
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
SCHEMA = (
    "(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, bool bidirectional, "
    "bool batch_first) -> "
)
FUNCTION_ARGUMENTS = 9  # of torch's functions; packed sequences come with the sizes of their batches as well


@contextmanager
def recurrent_layers_whole(model: nn.Module) -> Iterator[None]:
    """Recurrent layers of `model` that run meanwhile are one operation each, as a dispatch mode sees them."""
    if not any(isinstance(module, nn.RNNBase) for module in model.modules()):
        yield
        return
    with _Whole():
        yield


class _Whole(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kind = getattr(func, "__name__", "")
        if kind not in GATES or len(args) != FUNCTION_ARGUMENTS or not isinstance(args[3], bool):
            return func(*args, **(kwargs or {}))
        x, state, weights, has_biases, layers, _, _, bidirectional, batch_first = args
        hx = [state] if isinstance(state, Tensor) else list(state)
        operation = getattr(torch.ops.prunecli, kind)
        return operation(x, hx, list(weights), has_biases, layers, bidirectional, batch_first)


def _computed(kind: str) -> Callable[..., Any]:
    """The layer by torch's own function."""
    function = getattr(torch, kind)

    def run(x: Tensor, hx: Sequence[Tensor], weights: Sequence[Tensor], *settings: Any) -> Any:
        has_biases, layers, bidirectional, batch_first = settings
        state = hx if kind == "lstm" else hx[0]
        return function(x, state, weights, has_biases, layers, 0.0, False, bidirectional, batch_first)

    return run


def _shapes(x: Tensor, hx: Sequence[Tensor], weights: Sequence[Tensor], *settings: Any) -> tuple[Tensor, ...]:
    """Empty results: x (N, T, C) or (T, N, C) → (N, T, D·H) or (T, N, D·H), and the last states.

    They lie in memory step by step in either case, so that a view needs a copy where it needs one with torch.
    Raises ValueError where torch would take an LSTM's weights for those of another: it tells by the widths of
    the states whether what the units give is projected.
    """
    has_biases, layers, bidirectional, batch_first = settings
    directions = 2 if bidirectional else 1
    projected = hx[0].shape[-1] != hx[-1].shape[-1]
    if len(weights) != layers * directions * (2 + 2 * has_biases + projected):
        raise ValueError("an LSTM projects to fewer numbers than it has hidden units")
    width = hx[0].shape[-1] * directions
    first, second = x.shape[:2]
    made = (
        x.new_empty((second, first, width)).transpose(0, 1)
        if batch_first
        else x.new_empty((first, second, width))
    )
    return made, *(torch.empty_like(state) for state in hx)


_library: Any = torch.library.Library("prunecli", "DEF")  # type: ignore[no-untyped-call]
for _kind in GATES:
    _library.define(_kind + SCHEMA + ("(Tensor, Tensor, Tensor)" if _kind == "lstm" else "(Tensor, Tensor)"))
    _library.impl(_kind, _computed(_kind), "CompositeExplicitAutograd")
    _library.impl(_kind, _shapes, "Meta")
