"""Constants that follow a width, such as attention's 1/√width: kept by scaling the weights before them.

Where the cut network multiplies by another number than the whole one did, the weights that make what is
multiplied are scaled by the ratio of the two. Which rows of which weights these are is found by walking back
from the multiplication and carrying the rows' numbers forward through the same operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from prunecli.graph.tracing import Operation, TensorRef, Trace
from prunecli.surgery.plan import Scaling

# The same numbers in other places.
PLACES = """
    view _unsafe_view reshape permute transpose t select slice narrow split split_with_sizes chunk unbind
    expand clone contiguous squeeze unsqueeze flatten detach alias roll repeat flip cat stack
"""
REARRANGING = frozenset(f"aten.{name}" for name in PLACES.split())
# Sums and multiples: proportional to each of their inputs.
PROPORTIONAL = frozenset(f"aten.{name}" for name in ("add", "sub", "neg", "_to_copy", "native_dropout"))
SCALING = frozenset({"aten.mul", "aten.div"})
PRODUCT = "aten.bmm"
VIEWS = frozenset({"aten.view", "aten._unsafe_view"})
NORMS = frozenset(
    {"aten.native_layer_norm", "aten._fused_rms_norm", "aten.native_group_norm", "aten.native_batch_norm"}
)


class NotFoldable(Exception):
    """What is multiplied is not made by weights that are used for nothing else."""


@dataclass(frozen=True)
class Rescaled:
    """An operation of a trace that computes with `now` in the cut network, with `before` in the whole one."""

    operation: Operation
    now: float
    before: float

    @property
    def factor(self) -> float:
        """What the operation's first input has to be multiplied by."""
        ratio = self.before / self.now
        return 1 / ratio if self.operation.name == "aten.div" else ratio


def fold(uses: Uses, rescaled: Rescaled) -> tuple[Scaling, ...] | None:
    """The scalings of weights that make up for another constant; None where there are none."""
    operation = rescaled.operation
    if operation.name.rstrip("_") not in SCALING or not isinstance(operation.args[0], TensorRef):
        return None
    for target, reader in _targets(uses, operation.args[0], operation):
        try:
            scalings = tuple(_scalings(uses, target, reader, rescaled.factor))
        except NotFoldable:
            continue
        if scalings:
            return scalings
    return None


def _scalings(uses: Uses, target: TensorRef, reader: Operation, factor: float) -> Iterator[Scaling]:
    path = _Path(uses, target)
    for weight, axis in path.weights():
        rows = path.rows(weight, axis)
        path.refuse_other_uses(weight, axis, rows, allowed=reader)
        yield Scaling(weight.name or "", axis, rows, factor)


def _targets(uses: Uses, ref: TensorRef, reader: Operation) -> Iterator[tuple[TensorRef, Operation]]:
    """What can be scaled where `reader` scales a tensor, each with the operation that reads it.

    That is the tensor itself, or one of the two whose product it is, if nothing else reads the product:
    queries times keys are proportional to the queries, and to the keys.
    """
    yield ref, reader
    while ref.number not in uses.outputs and uses.readers[ref.number] == [reader]:
        made = uses.maker.get(ref.number)
        if made is not None and made.name == PRODUCT:
            yield from ((operand, made) for operand in made.args)
        if made is None or made.name not in VIEWS:
            return
        ref, reader = made.args[0], made


class Uses:
    """Which operation of a trace makes a tensor, and which ones read it."""

    def __init__(self, trace: Trace) -> None:
        self.maker: dict[int, Operation] = {}
        self.readers: dict[int, list[Operation]] = {}
        for operation in trace.operations:
            for ref in operation.tensors():
                self.readers.setdefault(ref.number, []).append(operation)
            for ref in operation.outputs:
                self.maker[ref.number] = operation
        self.outputs = {ref.number for ref in trace.outputs}


class _Path:
    """What leads from weights to one tensor without anything but sums, multiples and other places."""

    def __init__(self, uses: Uses, target: TensorRef) -> None:
        self._uses = uses
        self._target = target
        self._inside: set[int] = set()  # operations on the way
        self._weights: dict[int, tuple[TensorRef, bool]] = {}  # number → weight, and whether it is a matrix
        self._walk(target)

    def weights(self) -> Iterator[tuple[TensorRef, int]]:
        """The weights at the beginning, with the axis of each that counts rows."""
        for weight, is_matrix in self._weights.values():
            if is_matrix:
                yield weight, self._axis_of(weight)
            else:
                yield weight, len(weight.shape) - 1

    def rows(self, weight: TensorRef, axis: int) -> tuple[int, ...]:
        """The rows of the weight that reach the target."""
        found = self._numbers(self._target, weight, axis, {})
        return tuple(int(row) - 1 for row in torch.unique(found) if row > 0)

    def refuse_other_uses(
        self, weight: TensorRef, axis: int, rows: tuple[int, ...], *, allowed: Operation
    ) -> None:
        """Raise NotFoldable when one of the rows also reaches something else."""
        wanted = torch.zeros(weight.shape[axis] + 1, dtype=torch.bool)
        wanted[[row + 1 for row in rows]] = True
        known: dict[int, Tensor] = {}
        for operation in self._operations():
            for ref in operation.outputs:
                numbers = self._numbers(ref, weight, axis, known)
                if not wanted[numbers].any():
                    continue
                if ref.number in self._uses.outputs:
                    raise NotFoldable
                for reader in self._uses.readers.get(ref.number, ()):
                    if reader.index not in self._inside and reader is not allowed:
                        self._refuse_reading(reader, weight, axis, wanted, known)
        if any(reader.index not in self._inside for reader in self._uses.readers[weight.number]):
            raise NotFoldable

    def _refuse_reading(
        self, reader: Operation, weight: TensorRef, axis: int, wanted: Tensor, known: dict[int, Tensor]
    ) -> None:
        """Another reader is harmless when it takes other rows, or when what it makes is read by none."""
        if reader.name not in REARRANGING:
            raise NotFoldable
        for ref in reader.outputs:
            numbers = self._numbers(ref, weight, axis, known)
            if wanted[numbers].any() and (
                ref.number in self._uses.outputs or self._uses.readers.get(ref.number)
            ):
                raise NotFoldable

    def _operations(self) -> Iterator[Operation]:
        makers = {operation.index: operation for operation in self._uses.maker.values()}
        return (makers[index] for index in sorted(self._inside))

    def _walk(self, ref: TensorRef, *, matrix: bool = False) -> None:
        if ref.name is not None:
            self._weights.setdefault(ref.number, (ref, matrix))
            return
        operation = self._uses.maker.get(ref.number)
        if operation is None or any(ref in operation.tensors() for ref in operation.outputs):
            raise NotFoldable  # an input, or written in place
        self._inside.add(operation.index)
        for each, is_matrix in _carriers(operation, matrix=matrix):
            self._walk(each, matrix=is_matrix)

    def _axis_of(self, weight: TensorRef) -> int:
        """The axis of a matrix along which its products' columns lie."""
        for axis in range(len(weight.shape)):
            if self.rows(weight, axis):
                return axis
        raise NotFoldable

    def _numbers(self, ref: TensorRef, weight: TensorRef, axis: int, known: dict[int, Tensor]) -> Tensor:
        """The number of the weight's row, from 1, behind every element of a tensor; 0 where there is none."""
        if ref.number not in known:
            known[ref.number] = self._computed(ref, weight, axis, known)
        return known[ref.number]

    def _computed(self, ref: TensorRef, weight: TensorRef, axis: int, known: dict[int, Tensor]) -> Tensor:
        if ref.number == weight.number:
            shape = [-1 if d == axis else 1 for d in range(len(ref.shape))]
            return torch.arange(1, ref.shape[axis] + 1).view(shape).expand(ref.shape)
        operation = self._uses.maker.get(ref.number)
        near = operation is not None and (
            operation.index in self._inside or (operation.name in REARRANGING and ref.name is None)
        )
        if operation is None or not near:
            return torch.zeros(ref.shape, dtype=torch.int64)
        if operation.name not in REARRANGING and ref != operation.outputs[0]:  # statistics beside the result
            return torch.zeros(ref.shape, dtype=torch.int64)
        if operation.name in REARRANGING:
            made = self._rearranged(operation, weight, axis, known)
            for output, numbers in zip(operation.outputs, made, strict=True):
                known[output.number] = numbers
            return known[ref.number]
        columns = torch.zeros(ref.shape, dtype=torch.int64)
        for each in operation.tensors():
            numbers = self._numbers(each, weight, axis, known)
            if numbers.any():
                columns = torch.maximum(columns, _spread(operation, each, numbers, ref.shape))
        return columns

    def _rearranged(
        self, operation: Operation, weight: TensorRef, axis: int, known: dict[int, Tensor]
    ) -> list[Tensor]:
        args, kwargs = pytree.tree_map(
            lambda leaf: self._numbers(leaf, weight, axis, known) if isinstance(leaf, TensorRef) else leaf,
            (operation.args, operation.kwargs),
        )
        function: Any = getattr(torch.ops.aten, operation.name.removeprefix("aten."))
        if operation.name in {"aten.view", "aten._unsafe_view"}:
            return [args[0].reshape(args[1])]
        leaves = pytree.tree_leaves(function(*args, **kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _carriers(operation: Operation, *, matrix: bool) -> Iterator[tuple[TensorRef, bool]]:
    """The inputs that an operation is proportional to, taken together, and which of them are matrices.

    Raises NotFoldable for an operation that is not known to be.
    """
    name, tensors = operation.name, operation.tensors()
    if name in REARRANGING or name in PROPORTIONAL:
        yield from ((each, matrix) for each in tensors)
    elif name in SCALING and _is_number(operation.args[1]):
        yield operation.args[0], matrix
    elif name in {"aten.addmm", "aten.mm"}:
        *bias, _, weight = tensors
        yield weight, True
        yield from ((each, False) for each in bias)
    elif name == "aten.convolution" and not operation.args[6]:
        yield operation.args[1], True
        yield from ((each, False) for each in tensors[2:])
    elif name in NORMS and len(tensors) > 1:
        yield from ((each, False) for each in tensors[1:3])
    elif name not in {"aten.zeros", "aten.zeros_like"}:  # zero at any scale
        raise NotFoldable


def _is_number(given: Any) -> bool:
    return not isinstance(given, TensorRef) or given.value is not None


def _spread(operation: Operation, given: TensorRef, numbers: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The rows' numbers in the output of an operation that reads them in one of its inputs."""
    name = operation.name
    if name == "aten.convolution":
        rows = numbers.reshape(len(numbers), -1)[:, 0] if given is operation.args[1] else numbers
        return rows.view(1, -1, *[1] * (len(shape) - 2)).expand(shape)
    if name in {"aten.mm", "aten.addmm"} and given is operation.tensors()[-1]:
        constant = bool((numbers == numbers[:1]).all())  # along what is summed
        return numbers[:1].expand(shape) if constant else torch.zeros(shape, dtype=torch.int64)
    if name in {"aten.native_group_norm", "aten.native_batch_norm"}:
        return numbers.view(1, -1, *[1] * (len(shape) - 2)).expand(shape)
    return numbers.expand(shape)
