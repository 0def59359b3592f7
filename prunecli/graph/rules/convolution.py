"""Convolutions: plain, grouped, depthwise and transposed, by one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import Axis, fixed, merge
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation

WHY = "convolves a fixed dimension"
GROUPS = 8  # position of `groups` among the arguments


@coupling_rule("aten.convolution", "aten._convolution")
def convolution(operation: Operation, flow: Flow) -> None:
    """X (N, C, …), weight (O, C/g, …) or transposed (C, O/g, …), bias (O,) → (N, O, …).

    In a grouped convolution the channels are groups × slots: a whole group may go, with its inputs and
    outputs, or the same slot of every group. Depthwise is the case of one slot.
    """
    x, weight, bias = operation.args[:3]
    transposed, groups = operation.args[6], operation.args[GROUPS]
    flow.fix(weight, range(2, len(weight.shape)), "a tap of the kernel")
    x_axes = flow.axes(x)
    if groups == 1:
        flow.follow(weight, 0 if transposed else 1, x_axes[1], WHY)
    w_axes = flow.axes(weight)
    into, out = (w_axes[0], w_axes[1]) if transposed else (w_axes[1], w_axes[0])
    if groups != 1:
        out = _grouped(operation, flow, x_axes[1], into, out)
    if bias is not None:
        flow.follow(bias, 0, out, "the bias of a fixed dimension")
    flow.contract(x, 1)
    output = operation.outputs[0]
    flow.assign(output, [x_axes[0], out, *(fixed(size) for size in output.shape[2:])])


def _grouped(operation: Operation, flow: Flow, channels: Axis, into: Axis, out: Axis) -> Axis:
    transposed, groups = operation.args[6], operation.args[GROUPS]
    group, slot = flow.space.split(channels, (groups, len(channels) // groups))
    if transposed:
        weight_group, weight_slot = flow.space.split(into, (groups, len(into) // groups))
        flow.space.tie(slot, weight_slot, WHY)
        out = merge([group, out])
    else:
        weight_group, _ = flow.space.split(out, (groups, len(out) // groups))
        flow.space.tie(slot, into, WHY)
    flow.space.tie(group, weight_group, WHY)
    flow.literal((GROUPS,), group)
    return out
