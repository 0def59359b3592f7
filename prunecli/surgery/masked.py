"""The reference for surgery: the whole network with the removed channels kept out of every sum and statistic.

It runs the original network with its original weights. Before an operation sums over channels, the removed
ones are set to zero; an operation that takes statistics over channels (a mean, a softmax, a layer norm)
sees the kept ones only. Nothing is removed, so a position that the plan takes from the wrong place shows
as a difference from the cut network.

A product that sums over channels is computed without the terms that would be zero (`surgery/products.py`).
No activation lives longer than the network itself keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from prunecli.graph.tracing import Operation, Recorder, TensorRef, packet_name, tensor_names
from prunecli.surgery.products import pairing_of, product_of_kept

Gone = tuple[TensorRef, int, NDArray[np.bool_]]  # which positions of a tensor's dimension are removed
NOTE = "_prunecli_reference"
OF_NO_ACCOUNT = (torch.device, torch.dtype, torch.layout, torch.memory_format)


class MaskedRun(Recorder):
    """Active while the original network runs; replaces what removed channels would have contributed."""

    def __init__(
        self, graph: ChannelGraph, model: nn.Module, marked: NDArray[np.bool_], *, trace: int
    ) -> None:
        super().__init__(tensor_names(model))
        self._named = [*model.parameters(), *model.buffers()]  # their ids stay theirs
        self._weights: dict[str, TensorRef] = {}
        self._operations = graph.traces[trace].operations
        self._foreseen = graph.propagation.outputs[trace]
        self._count = 0
        self._given = 0
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
        inputs = (
            tuple(self._arguments(args)),
            dict(zip(kwargs, self._arguments(kwargs.values()), strict=True)),
        )
        name = packet_name(func)
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
        found = [(item, self._gone(self._walk.axes(item.ref)[item.dim])) for item in self._walk.contractions]
        gone = [(item.ref, item.dim, positions) for item, positions in found if positions.any()]
        sums = all(item.how == SUM for item, positions in found if positions.any())
        if gone and sums:
            result = self._sum_of_kept(func, args, kwargs, operation, gone)
        elif gone:
            result = self._over_kept(func, args, kwargs, operation)
        elif result is None:
            result = func(*args, **kwargs)
        for leaf, ref in zip(_tensors(result), outputs, strict=True):
            self._note(leaf, ref)
        return result

    def ref(self, tensor: Tensor) -> TensorRef:
        """The reference of a tensor; an activation carries its own, so that it is forgotten with it."""
        name = self._names.get(id(tensor))
        run, known = (
            tensor.__dict__.get(NOTE, (None, None)) if name is None else (self, self._weights.get(name))
        )
        if known is not None and run is self:
            return known
        made = TensorRef(
            self._given,
            tuple(tensor.shape),
            tensor.dtype,
            name,
            value=float(tensor) if tensor.dim() == 0 else None,
        )
        self._given += 1
        self._note(tensor, made)
        return made

    def _note(self, tensor: Tensor, ref: TensorRef) -> None:
        name = self._names.get(id(tensor))
        if name is None:
            tensor.__dict__[NOTE] = (self, ref)
        else:
            self._weights[name] = ref

    def _in_step(self, name: str, inputs: tuple[Any, Any]) -> bool:
        """Whether the next operation of the trace is this one: on other devices some are made of others."""
        if self._count >= len(self._operations):
            return False
        traced = self._operations[self._count]
        return name == traced.name and _signature((*inputs[0], *inputs[1].values())) == _signature(
            (*traced.args, *traced.kwargs.values())
        )

    def _foreseen_outputs(self) -> tuple[TensorRef, ...] | None:
        """New references in the shapes of the trace; None where one of them is an input."""
        traced = self._operations[self._count]
        if any(output in traced.tensors() for output in traced.outputs):
            return None
        first = self._given
        self._given += len(traced.outputs)
        return tuple(
            TensorRef(number, output.shape, output.dtype)
            for number, output in enumerate(traced.outputs, start=first)
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

    def _sum_of_kept(
        self, func: Any, args: Any, kwargs: dict[str, Any], operation: Operation, gone: Sequence[Gone]
    ) -> Any:
        """Run the operation with the removed positions adding nothing to its sums."""
        pairing = pairing_of(operation.name, args)
        if pairing is not None:
            kept = torch.as_tensor(np.flatnonzero(~np.any([positions for *_, positions in gone], axis=0)))
            result = product_of_kept(func, args, kwargs, pairing, kept)
            if result is not None:
                return result
        return func(*self._zeroed(args, operation.args, gone), **kwargs)

    def _zeroed(self, args: Any, refs: Any, gone: Sequence[Gone]) -> Any:
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


def _signature(given: Iterable[Any]) -> list[Any]:
    """Shapes of tensors and all other arguments, devices and types aside."""
    found: list[Any] = []
    for each in given:
        if isinstance(each, TensorRef):
            found.append(each.shape)
        elif isinstance(each, (list, tuple)):
            found += _signature(each)
        elif not isinstance(each, OF_NO_ACCOUNT):
            found.append(each)
    return found


def _tensors(result: Any) -> list[Tensor]:
    """The tensors of what an operation returned, those in lists too."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [tensor for each in result for tensor in _tensors(each)]
    return []


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
