"""Recurrent layers: a hidden unit has rows in all gates, and is read by all units and by the next layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunecli.graph.labels import Axis, concatenate, fixed
from prunecli.graph.recurrent import GATES
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef

WHY = "meets a fixed dimension in a recurrent layer"
IN_TIME = "in order of time"
OPERATIONS = tuple(f"prunecli.{kind}" for kind in GATES)


@dataclass(frozen=True)
class Cell:
    """The weights of one layer in one direction. `project` (P, H) where what it gives is narrower."""

    read: TensorRef  # (gates · H, C) or, of a layer behind another, (gates · H, D · P)
    again: TensorRef  # (gates · H, P)
    biases: tuple[TensorRef, ...]  # (gates · H,) each: with what is read, with the units
    project: TensorRef | None


@coupling_rule(*OPERATIONS)
def recurrent(operation: Operation, flow: Flow) -> None:
    """Input (N, T, C) → (N, T, D·P), last states (L·D, N, P) and, of an LSTM, (L·D, N, H).

    The states of all layers and directions are one tensor, so that unit k of all of them leaves together.
    """
    x, hx, *_, bidirectional, batch_first = operation.args
    cells = cells_of(operation)
    tie, width = flow.space.tie, hx[-1].shape[-1]
    inner = flow.axes(cells[0].read)[0][:width]  # of an LSTM the units that hold its memory
    project = cells[0].project
    units = inner if project is None else flow.axes(project)[0]
    for number, cell in enumerate(cells):
        _tie_cell(cell, flow, inner, units)
        taken = flow.axes(x)[-1] if number < 1 + bidirectional else concatenate([units] * (1 + bidirectional))
        tie(flow.axes(cell.read)[1], taken, WHY)
        if number > bidirectional:
            flow.contract(cell.read, 1)
    batch, time = (0, 1) if batch_first else (1, 0)
    flow.protect(x, IN_TIME, [time])
    axes = list(flow.axes(x))
    for state, held in zip(hx, (units, inner), strict=False):
        first, images, own = flow.axes(state)
        flow.space.pin(first, "a layer's place among the states")
        tie(images, axes[batch], WHY)
        tie(own, held, WHY)
    flow.contract(x, 2)
    axes[2] = concatenate([units] * (1 + bidirectional))
    flow.assign(operation.outputs[0], axes)
    for state, held in zip(operation.outputs[1:], (units, inner), strict=False):
        flow.assign(state, [fixed(state.shape[0]), axes[batch], held])


def _tie_cell(cell: Cell, flow: Flow, inner: Axis, units: Axis) -> None:
    """Unit k is row k of every gate, and column k of what reads the units again."""
    for rows in (cell.read, cell.again, *cell.biases):
        axis = flow.axes(rows)[0]
        for start in range(0, len(axis), len(inner)):
            flow.space.tie(inner, axis[start : start + len(inner)], WHY)
    flow.space.tie(flow.axes(cell.again)[1], units, WHY)
    flow.contract(cell.again, 1)
    if cell.project is not None:
        made, summed = flow.axes(cell.project)
        flow.space.tie(made, units, WHY)
        flow.space.tie(summed, inner, WHY)
        flow.contract(cell.project, 1)


def cells_of(operation: Operation) -> list[Cell]:
    """The weights of a recurrent layer in the order of torch: layer by layer, forwards before backwards."""
    weights, has_biases, layers, bidirectional = operation.args[2:6]
    each = len(weights) // (layers * (1 + bidirectional))
    found = []
    for start in range(0, len(weights), each):
        read, again, *others = weights[start : start + each]
        biases = tuple(others[:2]) if has_biases else ()
        found.append(Cell(read, again, biases, others[-1] if len(others) > len(biases) else None))
    return found
