"""Views: the same positions under other dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prunecli.graph.labels import Axis, fixed, merge
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef


def matching_blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[range, range]]:
    """The smallest runs of dimensions that hold the same elements on both sides of a view."""
    blocks = []
    i = j = 0
    while i < len(before) or j < len(after):
        start_i, start_j = i, j
        left = before[i] if i < len(before) else 1
        right = after[j] if j < len(after) else 1
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while left != right:
            if left < right and i < len(before):
                left, i = left * before[i], i + 1
            elif right < left and j < len(after):
                right, j = right * after[j], j + 1
            elif i < len(before):
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        blocks.append((range(start_i, i), range(start_j, j)))
    return blocks


@coupling_rule("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias", "aten.view_copy")
def view(operation: Operation, flow: Flow) -> None:
    """Dimensions merge into products and split into factors."""
    x, output = operation.tensors()[0], operation.outputs[0]
    before = flow.axes(x)
    if 0 in x.shape:
        flow.assign(output, [fixed(size) for size in output.shape])
        return
    after: list[Axis] = []
    for left, right in matching_blocks(x.shape, output.shape):
        merged = flow.space.merge([before[d] for d in left]) if len(left) != 1 else before[left[0]]
        sizes = [output.shape[d] for d in right]
        after.extend([merged] if len(sizes) == 1 else flow.space.split(merged, sizes) if sizes else [])
    flow.assign(output, after)
    for d, axis in enumerate(after):
        flow.literal((1, d), axis)


@coupling_rule("aten.as_strided")
def as_strided(operation: Operation, flow: Flow) -> None:
    """The same shape laid out otherwise in memory; any other use may mix positions and is not followed."""
    x, output = operation.tensors()[0], operation.outputs[0]
    if x.shape != output.shape:
        flow.protect(x, "viewed with other strides")
        flow.assign(output, [fixed(size) for size in output.shape])
    else:
        flow.assign(output, flow.axes(x))


@coupling_rule("aten.view_as_real", "aten.view_as_complex")
def view_as_pairs(operation: Operation, flow: Flow) -> None:
    """Real and imaginary parts are a last dimension of two, or none."""
    x, output = operation.tensors()[0], operation.outputs[0]
    axes = flow.axes(x)
    flow.assign(output, [*axes, fixed(2)] if len(output.shape) > len(axes) else axes[:-1])


@coupling_rule("aten.permute")
def permute(operation: Operation, flow: Flow) -> None:
    """Dimensions in another order."""
    axes = flow.axes(operation.args[0])
    flow.assign(operation.outputs[0], [axes[d] for d in operation.args[1]])


@coupling_rule("aten.transpose", "aten.swapaxes")
def transpose(operation: Operation, flow: Flow) -> None:
    """Two dimensions change places."""
    x, first, second = operation.args[:3]
    axes = list(flow.axes(x))
    axes[first], axes[second] = axes[second], axes[first]
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.t", "aten.numpy_T", "aten.adjoint")
def matrix_transpose(operation: Operation, flow: Flow) -> None:
    """A matrix on its side."""
    flow.turn(operation.args[0], operation.outputs[0])


@coupling_rule("aten.unsqueeze")
def unsqueeze(operation: Operation, flow: Flow) -> None:
    """A new dimension of one."""
    x, dim = operation.args[:2]
    axes = list(flow.axes(x))
    axes.insert(dim % (len(axes) + 1), fixed(1))
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.squeeze")
def squeeze(operation: Operation, flow: Flow) -> None:
    """Dimensions of one are dropped."""
    x: TensorRef = operation.args[0]
    chosen: Any = operation.args[1] if len(operation.args) > 1 else range(len(x.shape))
    dims = {d % len(x.shape) for d in ([chosen] if isinstance(chosen, int) else chosen)}
    kept = [axis for d, axis in enumerate(flow.axes(x)) if d not in dims or x.shape[d] != 1]
    flow.assign(operation.outputs[0], kept)


@coupling_rule("aten.expand", "aten.expand_copy", "aten.broadcast_to")
def expand(operation: Operation, flow: Flow) -> None:
    """A dimension of one repeated: its positions are alike, so any number of them may be kept."""
    x, output = operation.args[0], operation.outputs[0]
    axes: list[Axis] = []
    offset = len(output.shape) - len(x.shape)
    before = flow.axes(x)
    for d, size in enumerate(output.shape):
        same = d >= offset and x.shape[d - offset] == size
        axes.append(before[d - offset] if same else flow.space.fresh(size))
        flow.literal((1, d), axes[-1])
    flow.assign(output, axes)


@coupling_rule("aten.repeat", "aten.tile")
def repeat(operation: Operation, flow: Flow) -> None:
    """Copies one after the other along each dimension: a position leaves in every copy."""
    x, counts = operation.args[:2]
    before = [fixed(1)] * (len(counts) - len(x.shape)) + list(flow.axes(x))
    flow.assign(
        operation.outputs[0], [merge([fixed(n), axis]) for n, axis in zip(counts, before, strict=True)]
    )


@coupling_rule("aten.flip")
def flip(operation: Operation, flow: Flow) -> None:
    """Positions in reverse order."""
    x, dims = operation.args[:2]
    axes = list(flow.axes(x))
    for d in dims:
        axes[d] = axes[d][::-1]
    flow.assign(operation.outputs[0], axes)


@coupling_rule("aten.roll")
def roll(operation: Operation, flow: Flow) -> None:
    """Positions move round; a rolled dimension must keep its positions."""
    x, output = operation.args[0], operation.outputs[0]
    dims = operation.args[2] if len(operation.args) > 2 else range(len(x.shape))
    flow.protect(x, "rolled along this dimension", [d % len(x.shape) for d in dims])
    flow.assign(output, flow.axes(x))
