"""Joining and parting: concatenation, splits, slices, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunecli.graph.labels import Axis, concatenate, fixed, is_fixed
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef


@coupling_rule("aten.cat", "aten.concat")
def cat(operation: Operation, flow: Flow) -> None:
    """Positions one after the other along one dimension; the other dimensions meet."""
    dim = operation.args[1] if len(operation.args) > 1 else operation.kwargs.get("dim", 0)
    parts = [ref for ref in operation.tensors() if ref.shape != (0,)]
    dim %= len(parts[0].shape)
    axes = list(flow.axes(parts[0]))
    for part in parts[1:]:
        for d, axis in enumerate(flow.axes(part)):
            if d != dim:
                flow.space.tie(axes[d], axis, "joined with a fixed dimension")
    axes[dim] = concatenate([flow.axes(part)[dim] for part in parts])
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.stack")
def stack(operation: Operation, flow: Flow) -> None:
    """Tensors side by side along a new dimension, which stays."""
    parts = operation.tensors()
    dim = operation.args[1] if len(operation.args) > 1 else operation.kwargs.get("dim", 0)
    axes = list(flow.axes(parts[0]))
    for part in parts[1:]:
        for mine, other in zip(axes, flow.axes(part), strict=True):
            flow.space.tie(mine, other, "stacked with a fixed dimension")
    axes.insert(dim % (len(axes) + 1), fixed(len(parts)))
    flow.assign(operation.outputs[0], axes)


def _part(operation: Operation, flow: Flow, dim: int, pieces: Sequence[Axis]) -> None:
    before = flow.axes(operation.args[0])
    for output, piece in zip(operation.outputs, pieces, strict=True):
        axes = list(before)
        axes[dim] = piece
        flow.assign(output, axes)


@coupling_rule("aten.split", "aten.chunk", "aten.unsafe_split", "aten.split_copy")
def split_equally(operation: Operation, flow: Flow) -> None:
    """Equal parts: slot i of every part leaves together, so that the parts stay equal."""
    x: TensorRef = operation.args[0]
    dim = (operation.args[2] if len(operation.args) > 2 else 0) % len(x.shape)
    axis = flow.axes(x)[dim]
    sizes = [output.shape[dim] for output in operation.outputs]
    if len(set(sizes)) == 1:
        for i in range(1, len(sizes)):
            flow.space.tie(
                axis[: sizes[0]], axis[i * sizes[0] : (i + 1) * sizes[0]], "split from a fixed part"
            )
        flow.literal((1,), axis[: sizes[0]])
    else:
        flow.protect(x, "split into unequal parts", [dim])
    _part(operation, flow, dim, _pieces(axis, sizes))


@coupling_rule("aten.split_with_sizes", "aten.unsafe_split_with_sizes", "aten.split_with_sizes_copy")
def split_with_sizes(operation: Operation, flow: Flow) -> None:
    """Parts of stated sizes."""
    x: TensorRef = operation.args[0]
    dim = (operation.args[2] if len(operation.args) > 2 else 0) % len(x.shape)
    pieces = _pieces(flow.axes(x)[dim], operation.args[1])
    for i, piece in enumerate(pieces):
        flow.literal((1, i), piece)
    _part(operation, flow, dim, pieces)


def _pieces(axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [axis[start : start + size] for start, size in zip(starts, sizes, strict=True)]


@coupling_rule("aten.slice", "aten.narrow")
def part_of_a_dimension(operation: Operation, flow: Flow) -> None:
    """A run of positions; with a step, the positions between two taken ones leave together."""
    x: TensorRef = operation.args[0]
    dim = (operation.args[1] if len(operation.args) > 1 else 0) % len(x.shape)
    axis, size = flow.axes(x)[dim], x.shape[dim]
    start = operation.args[2] if len(operation.args) > 2 and operation.args[2] is not None else 0
    if operation.name == "aten.narrow":
        stop, step = start + operation.args[3], 1
    else:
        stop = operation.args[3] if len(operation.args) > 3 and operation.args[3] is not None else size
        step = operation.args[4] if len(operation.args) > 4 else 1
    start, stop, _ = slice(start, stop).indices(size)
    if step > 1 and not is_fixed(axis):
        _stepped(flow, axis, step)
    elif start > 0 or stop < size:
        flow.literal((2,), axis[:start])
        flow.literal((3,), axis[:stop])
    _part(operation, flow, dim, [axis[start:stop:step]])


def _stepped(flow: Flow, axis: Axis, step: int) -> None:
    if len(axis) % step:
        flow.space.pin(axis, "a slice whose step does not divide the channels")
        return
    for i in range(1, step):
        flow.space.tie(axis[::step], axis[i::step], "a stepped slice of a fixed dimension")


@coupling_rule("aten.unfold")
def windows(operation: Operation, flow: Flow) -> None:
    """Windows along one dimension, whose positions become a last dimension; the other dimensions pass."""
    x, dim = operation.args[:2]
    axes, output = list(flow.axes(x)), operation.outputs[0]
    flow.protect(x, "taken in windows", [dim % len(axes)])
    axes[dim] = fixed(output.shape[dim % len(axes)])
    flow.assign(output, [*axes, fixed(output.shape[-1])])


@coupling_rule("aten.select")
def select(operation: Operation, flow: Flow) -> None:
    """One position of a dimension; the dimension must keep its positions."""
    x, dim = operation.args[:2]
    axes = list(flow.axes(x))
    flow.protect(x, "selected by its index", [dim % len(axes)])
    del axes[dim % len(axes)]
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.unbind")
def unbind(operation: Operation, flow: Flow) -> None:
    """Every position of a dimension as a tensor of its own; the dimension stays."""
    x: TensorRef = operation.args[0]
    dim = (operation.args[1] if len(operation.args) > 1 else 0) % len(x.shape)
    axes = list(flow.axes(x))
    flow.protect(x, "taken apart by index", [dim])
    del axes[dim]
    for output in operation.outputs:
        flow.assign(output, axes)


@coupling_rule("aten.constant_pad_nd")
def constant_pad(operation: Operation, flow: Flow) -> None:
    """Padding along channels makes channels of its own; they leave with what they meet."""
    x, pads = operation.args[:2]
    axes = list(flow.axes(x))
    for i in range(len(pads) // 2):
        d = len(axes) - 1 - i
        before, after = pads[2 * i], pads[2 * i + 1]
        size = len(axes[d])
        if is_fixed(axes[d]):
            axes[d] = fixed(size + before + after)
            continue
        inner = axes[d][max(0, -before) : size - max(0, -after)]
        left, right = flow.space.fresh(max(0, before)), flow.space.fresh(max(0, after))
        flow.literal((1, 2 * i), left)
        flow.literal((1, 2 * i + 1), right)
        axes[d] = concatenate([left, inner, right])
    flow.assign(operation.outputs[0], axes)
