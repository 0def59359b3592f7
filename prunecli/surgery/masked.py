"""The reference for surgery: the whole network with the removed channels kept out of every sum and statistic.

It runs the original network with its original weights. Before an operation sums over channels, the removed
ones are set to zero; an operation that takes statistics over channels (a mean, a softmax, a layer norm)
sees the kept ones only. Nothing is removed, so a position that the plan takes from the wrong place shows
as a difference from the cut network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis, LabelSpace, removed_positions
from prunecli.graph.propagation import Literal, Pass
from prunecli.graph.recurrent import recurrent_layers_whole
from prunecli.graph.rules.contract import SUM
from prunecli.graph.tracing import Operation, Recorder, TensorRef, tensor_names


class MaskedRun(Recorder):
    """Active while the original network runs; replaces what removed channels would have contributed."""

    def __init__(
        self, graph: ChannelGraph, model: nn.Module, marked: NDArray[np.bool_], *, trace: int
    ) -> None:
        super().__init__(tensor_names(model))
        self._operations = graph.traces[trace].operations
        self._foreseen = graph.propagation.outputs[trace]
        self._count = 0
        self._made = 0
        shapes = {name: tuple(t.shape) for name, t in [*model.named_parameters(), *model.named_buffers()]}
        space = LabelSpace(first=graph.propagation.count)
        self._walk = Pass(space, dict(graph.origins), shapes)
        self._marked = marked

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.counts(func, args):
            return func(*args, **kwargs)
        inputs = (self.refs(args), self.refs(kwargs))
        name = str(func.overloadpacket)
        in_step = self._in_step(name, inputs)
        outputs = _written(name, inputs[0]) or (self._foreseen_outputs() if in_step else None)
        result = None
        if outputs is None:  # run as it is first, for the shapes of its outputs
            result = func(*args, **kwargs)
            outputs = tuple(self.ref(leaf) for leaf in _tensors(result))
        operation = Operation(self._count, name, inputs[0], inputs[1], outputs, 0)
        self._count += 1
        self._walk.contractions.clear()
        self._walk.literals.clear()
        self._walk.apply(operation)
        if in_step:
            self._relabel(operation)
        gone = [(item, self._gone(self._walk.axes(item.ref)[item.dim])) for item in self._walk.contractions]
        gone = [(item, positions) for item, positions in gone if positions.any()]
        if gone and all(item.how == SUM for item, _ in gone):
            masked = self._zeroed(args, inputs[0], [(item.ref, item.dim, at) for item, at in gone])
            result = func(*masked, **kwargs)
        elif gone:
            result = self._over_kept(func, args, kwargs, operation)
        elif result is None:
            result = func(*args, **kwargs)
        for leaf, ref in zip(_tensors(result), outputs, strict=True):
            self._numbers[id(leaf)] = ref
            self._alive.append(leaf)
        return result

    def _in_step(self, name: str, inputs: tuple[Any, Any]) -> bool:
        """Whether the next operation of the trace is this one: on other devices some are made of others."""
        if self._count >= len(self._operations):
            return False
        traced = self._operations[self._count]
        return name == traced.name and _signature(inputs) == _signature((traced.args, traced.kwargs))

    def _foreseen_outputs(self) -> tuple[TensorRef, ...] | None:
        """New references in the shapes of the trace; None where one of them is an input."""
        traced = self._operations[self._count]
        if any(output in traced.tensors() for output in traced.outputs):
            return None
        self._made += len(traced.outputs)
        numbers = range(-self._made, -self._made + len(traced.outputs))
        return tuple(
            TensorRef(number, output.shape, output.dtype)
            for number, output in zip(numbers, traced.outputs, strict=True)
        )

    def _relabel(self, operation: Operation) -> None:
        """Labels of tensors that the forward made get a meaning only by ties: take them from the trace."""
        foreseen = self._foreseen.get(operation.index, ())
        axes = self._walk.axes(operation.outputs[0]) if operation.outputs else []
        for dim, (axis, known) in enumerate(zip(axes, foreseen, strict=False)):
            if axis.size and axis.max() >= self._marked.size and len(axis) == len(known):
                axes[dim] = known

    def _gone(self, axis: Axis) -> NDArray[np.bool_]:
        inside = np.where(axis < self._marked.size, axis, 0)  # labels of made tensors are never removed
        return removed_positions(inside, self._marked)

    def _zeroed(self, args: Any, refs: Any, gone: Sequence[tuple[TensorRef, int, NDArray[np.bool_]]]) -> Any:
        def mask(leaf: Any, ref: Any) -> Any:
            for target, dim, positions in gone:
                if isinstance(ref, TensorRef) and ref.number == target.number:
                    index = torch.as_tensor(np.flatnonzero(positions), device=leaf.device)
                    leaf = leaf.index_fill(dim, index, 0)
            return leaf

        flat, spec = pytree.tree_flatten(args)
        flat_refs, _ = pytree.tree_flatten(refs)
        return pytree.tree_unflatten(
            [mask(leaf, ref) for leaf, ref in zip(flat, flat_refs, strict=True)], spec
        )

    def _over_kept(self, func: Any, args: Any, kwargs: dict[str, Any], operation: Operation) -> Any:
        """Run the operation on kept positions only and put the result back into its place."""
        small = _with_literals(args, self._walk.literals, self._gone)
        flat, spec = pytree.tree_flatten(small)
        flat_refs, _ = pytree.tree_flatten(operation.args)
        kept = [
            self._gathered(leaf, self._walk.axes(ref)) if isinstance(ref, TensorRef) else leaf
            for leaf, ref in zip(flat, flat_refs, strict=True)
        ]
        result = func(*pytree.tree_unflatten(kept, spec), **kwargs)
        leaves, out_spec = pytree.tree_flatten(result)
        outputs = iter(operation.outputs)
        wide = [self._scattered(x, next(outputs)) if isinstance(x, Tensor) else x for x in leaves]
        return pytree.tree_unflatten(wide, out_spec)

    def _gathered(self, tensor: Tensor, axes: Sequence[Axis]) -> Tensor:
        for dim, axis in enumerate(axes):
            gone = self._gone(axis)
            if gone.any():
                tensor = tensor.index_select(
                    dim, torch.as_tensor(np.flatnonzero(~gone), device=tensor.device)
                )
        return tensor

    def _scattered(self, tensor: Tensor, ref: TensorRef) -> Tensor:
        for dim, axis in enumerate(self._walk.axes(ref)):
            gone = self._gone(axis)
            if gone.any():
                shape = [*tensor.shape[:dim], len(axis), *tensor.shape[dim + 1 :]]
                index = torch.as_tensor(np.flatnonzero(~gone), device=tensor.device)
                tensor = tensor.new_zeros(shape).index_copy(dim, index, tensor)
        return tensor


def _written(name: str, args: Any) -> tuple[TensorRef, ...] | None:
    """What an operation of this name writes in place: running it to see would write twice."""
    in_place = name.endswith("_") and not name.endswith("__")
    return (args[0],) if in_place and args and isinstance(args[0], TensorRef) else None


def _signature(tree: Any) -> list[Any]:
    """Shapes of tensors and all other arguments, devices and types aside."""
    leaves = pytree.tree_leaves(tree)
    other = (torch.device, torch.dtype, torch.layout, torch.memory_format)
    return [
        leaf.shape if isinstance(leaf, TensorRef) else leaf for leaf in leaves if not isinstance(leaf, other)
    ]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _with_literals(args: Any, literals: Sequence[Literal], gone: Any) -> Any:
    """The arguments with the counts that the kept positions have."""
    new = [list(arg) if isinstance(arg, (list, tuple)) else arg for arg in args]
    for literal in literals:
        count = int(len(literal.axis) - gone(literal.axis).sum())
        place, *rest = literal.path
        if not isinstance(place, int) or place >= len(new):
            continue
        if rest and isinstance(rest[0], int):
            new[place][rest[0]] = count
        elif not rest:
            new[place] = count
    return new


def run_masked(
    graph: ChannelGraph,
    model: nn.Module,
    inputs: Sequence[Tensor],
    marked: NDArray[np.bool_],
    *,
    trace: int,
) -> Any:
    """The output of `model`, whole, with the channels behind the marked labels left out of everything.

    The model is in the mode of the graph's trace number `trace`.
    """
    with torch.no_grad(), recurrent_layers_whole(model), MaskedRun(graph, model, marked, trace=trace):
        return graph.calling.run(model, inputs)
