"""The walker: carry labels through the operations, again until no dimension needs finer factors.

It knows no operator. The rules in `graph/rules/` do; an operator without one protects every channel it
touches, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunecli.graph.labels import MAX_REFINEMENTS, Axis, Components, LabelSpace, TooManyFactors, fixed
from prunecli.graph.rules.contract import SUM, rule_for
from prunecli.graph.tracing import Operation, TensorRef, Trace

Origin = tuple[str, int]  # a dimension of a parameter or buffer


@dataclass(frozen=True)
class Literal:
    """The integer at `path` of an operation's arguments counts the positions of `axis`."""

    operation: int
    path: tuple[int | str, ...]
    axis: Axis


@dataclass(frozen=True)
class Contraction:
    """Dimension `dim` of an operation's input is summed over (`sum`) or enters statistics."""

    ref: TensorRef
    dim: int
    how: str


class Pass:
    """One walk over the operations of a trace; what the rules see as `Flow`."""

    def __init__(
        self,
        space: LabelSpace,
        origins: dict[Origin, Axis],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.space = space
        self.origins = origins
        self.literals: list[Literal] = []
        self.contractions: list[Contraction] = []
        self.unknown: dict[str, str] = {}
        self._shapes = shapes
        self._axes: dict[int, list[Axis]] = {}
        self._turned: dict[int, TensorRef] = {}
        self._operation: Operation | None = None

    def axes(self, ref: TensorRef) -> list[Axis]:
        """The axes of a tensor; a parameter's are its own, any other unknown tensor's are fixed."""
        if ref.number not in self._axes:
            if ref.number in self._turned:
                axes = self.axes(self._turned[ref.number])[::-1]
            elif ref.name is not None:
                axes = [self.origin(ref.name, d) for d in range(len(ref.shape))]
            else:
                axes = [fixed(size) for size in ref.shape]
            self._axes[ref.number] = axes
        return self._axes[ref.number]

    def origin(self, name: str, dim: int) -> Axis:
        """The axis of a parameter's or buffer's dimension, with new labels at first sight."""
        key = (name, dim)
        if key not in self.origins:
            self.origins[key] = self.space.fresh(self._shapes[name][dim])
        return self.origins[key]

    def assign(self, ref: TensorRef, axes: Sequence[Axis]) -> None:
        """Give an output its axes; raises ValueError when a rule gives them other sizes."""
        if tuple(len(axis) for axis in axes) != ref.shape:
            name = self._operation.name if self._operation else "?"
            raise ValueError(f"rule of {name}: axes {[len(axis) for axis in axes]} for shape {ref.shape}")
        self._axes[ref.number] = list(axes)

    def turn(self, ref: TensorRef, output: TensorRef) -> None:
        """The output is a matrix on its side; a parameter may still get its axes by `follow`."""
        if ref.name is None:
            self.assign(output, self.axes(ref)[::-1])
        else:
            self._turned[output.number] = ref

    def follow(self, ref: TensorRef, dim: int, axis: Axis, reason: str) -> None:
        """Positions of a tensor's dimension leave with those of `axis`.

        A parameter's dimension that is met for the first time takes the axis over, which saves labels of its
        own and a tie for each.
        """
        source, d = ref, dim % len(ref.shape)
        if ref.number in self._turned:
            source, d = self._turned[ref.number], 1 - d
        key = (source.name, d) if source.name is not None else None
        new = key is not None and key not in self.origins and ref.number not in self._axes
        if new and axis.shape == (source.shape[d], 1) and axis.all():
            assert key is not None
            self.origins[key] = axis
        else:
            self.space.tie(axis, self.axes(ref)[d if source is ref else 1 - d], reason)

    def contract(self, ref: TensorRef, dim: int, how: str = SUM) -> None:
        """Note that a dimension is summed over or enters statistics."""
        self.contractions.append(Contraction(ref, dim, how))

    def literal(self, path: tuple[int | str, ...], axis: Axis) -> None:
        """Note that an integer argument counts the positions of an axis."""
        if axis.shape[1] and self._operation is not None:
            self.literals.append(Literal(self._operation.index, path, axis))

    def fix(self, ref: TensorRef, dims: Iterable[int], reason: str) -> None:
        """Take dimensions of a parameter out of the labelling before they get labels; else pin them."""
        if ref.name is not None and ref.number not in self._axes:
            for dim in dims:
                self.origins.setdefault((ref.name, dim), fixed(ref.shape[dim]))
        self.protect(ref, reason, dims)

    def protect(self, ref: TensorRef, reason: str, dims: Iterable[int] | None = None) -> None:
        """Pin the labels of some dimensions, all by default."""
        axes = self.axes(ref)
        for dim in range(len(axes)) if dims is None else dims:
            self.space.pin(axes[dim], reason)

    def apply(self, operation: Operation) -> None:
        """Walk one operation."""
        self._operation = operation
        if not operation.outputs:
            return
        written = [
            ref for ref in operation.outputs if ref.number in self._axes and ref in operation.tensors()
        ]
        kept = [list(self._axes[ref.number]) for ref in written]
        rule = rule_for(operation.name)
        if rule is None:
            self._refuse(operation, f"no coupling rule for {operation.name}")
        else:
            try:
                rule(operation, self)
            except (ValueError, IndexError, TypeError, AttributeError) as error:
                self._refuse(operation, f"the coupling rule of {operation.name} does not fit: {error}")
        for ref, axes in zip(written, kept, strict=True):  # written in place: the tensor keeps its labels
            for new, old in zip(self._axes[ref.number], axes, strict=True):
                self.space.tie(old, new, f"written in place by {operation.name}")
            self._axes[ref.number] = axes

    def _refuse(self, operation: Operation, reason: str) -> None:
        touched = [ref for ref in operation.tensors() if any(axis.shape[1] for axis in self.axes(ref))]
        if touched:
            self.unknown[operation.name] = reason
        for ref in touched:
            self.protect(ref, reason)
        for output in operation.outputs:
            self._axes[output.number] = [fixed(size) for size in output.shape]


@dataclass(frozen=True)
class Propagation:
    """What the last pass found, in terms of components: labels that leave together share a number."""

    origins: dict[Origin, Axis]
    literals: tuple[tuple[Literal, ...], ...]  # one tuple a trace
    outputs: tuple[dict[int, tuple[Axis, ...]], ...]  # operation index → its first output's axes, one a trace
    reasons: dict[int, tuple[str, ...]]  # pinned component → why
    count: int
    unknown: dict[str, str]
    later: tuple[dict[int, tuple[Axis, ...]], ...] = ()  # number of an operation's later output → its axes


def propagate(traces: Sequence[Trace], shapes: Mapping[str, tuple[int, ...]]) -> Propagation:
    """Label the dimensions of all parameters and buffers met in `traces` (shapes by name)."""
    try:
        return _refined_passes(traces, shapes, small_factors=True)
    except TooManyFactors:
        return _refined_passes(traces, shapes, small_factors=False)


def _refined_passes(
    traces: Sequence[Trace], shapes: Mapping[str, tuple[int, ...]], *, small_factors: bool
) -> Propagation:
    origins: dict[Origin, Axis] = {}
    first = 1
    for remaining in range(MAX_REFINEMENTS, -1, -1):
        space = LabelSpace(first=first, small_factors=small_factors)
        passes = [Pass(space, origins, shapes) for _ in traces]
        for trace, walk in zip(traces, passes, strict=True):
            for operation in trace.operations:
                walk.apply(operation)
            for ref in trace.outputs:
                walk.protect(ref, "an output of the network")
        components = space.solve()
        if not components.refined or not remaining:
            break
        shared = {id(axis): components.refine(axis) for axis in origins.values()}
        origins = {key: shared[id(axis)] for key, axis in origins.items()}
        first = components.count
    return _result(traces, passes, origins, components)


def _result(
    traces: Sequence[Trace], passes: Sequence[Pass], origins: dict[Origin, Axis], components: Components
) -> Propagation:
    of: NDArray[np.int64] = components.of

    known: dict[int, tuple[Axis, Axis]] = {}  # by identity: most operations hand their axes on

    def solved(axis: Axis) -> Axis:
        if id(axis) not in known:
            known[id(axis)] = (axis, of[axis] if axis.size else axis)
        return known[id(axis)][1]

    reasons: dict[int, list[str]] = {}
    for pin in components.pins:
        for label in np.unique(of[pin.labels]):
            found = reasons.setdefault(int(label), [])
            if pin.reason not in found:
                found.append(pin.reason)
    for label in components.unrefined:
        reasons.setdefault(int(label), []).append("its factors do not fit each other")
    return Propagation(
        origins={key: solved(axis) for key, axis in origins.items()},
        literals=tuple(
            tuple(Literal(item.operation, item.path, solved(item.axis)) for item in walk.literals)
            for walk in passes
        ),
        outputs=tuple(
            {
                operation.index: tuple(solved(axis) for axis in walk.axes(operation.outputs[0]))
                for operation in trace.operations
                if operation.outputs
            }
            for trace, walk in zip(traces, passes, strict=True)
        ),
        reasons={label: tuple(found) for label, found in reasons.items()},
        count=components.count,
        unknown={name: reason for walk in passes for name, reason in walk.unknown.items()},
        later=tuple(
            {
                ref.number: tuple(solved(axis) for axis in walk.axes(ref))
                for operation in trace.operations
                for ref in operation.outputs[1:]
            }
            for trace, walk in zip(traces, passes, strict=True)
        ),
    )
