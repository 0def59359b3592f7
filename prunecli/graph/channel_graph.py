"""The channel graph of a network: its channel groups, its layers, and what follows from dropping channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunecli.errors import InputRefused
from prunecli.graph.calling import first_calling
from prunecli.graph.collection import without_collection
from prunecli.graph.groups import ChannelGroup, form_groups
from prunecli.graph.inputs import Calling
from prunecli.graph.labels import Axis, removed_positions
from prunecli.graph.layers import Layer, find_layers
from prunecli.graph.meta import meta_copy
from prunecli.graph.module_calls import asking_whether_they_train
from prunecli.graph.propagation import Origin, Propagation, propagate
from prunecli.graph.tracing import Trace, may_part, record


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """What a trace says about channels. `model` is a meta copy: shapes only."""

    model: nn.Module
    calling: Calling
    traces: tuple[Trace, ...]  # inference first, then training
    layers: tuple[Layer, ...]
    groups: tuple[ChannelGroup, ...]
    propagation: Propagation

    @property
    def prunable(self) -> tuple[ChannelGroup, ...]:
        """The groups whose channels may leave."""
        return tuple(group for group in self.groups if group.prunable)

    @property
    def trains_alike(self) -> bool:
        """Whether training runs the same operations on the same tensors as inference."""
        return len(self.traces) > 1 and self.propagation.outputs[0] is self.propagation.outputs[1]

    @property
    def origins(self) -> Mapping[Origin, Axis]:
        """The axis of every dimension of every parameter and buffer that the network uses."""
        return self.propagation.origins

    @cached_property
    def _group_of(self) -> NDArray[np.int64]:
        """The index in `groups` of every label; -1 for those of none."""
        found = np.full(self.propagation.count, -1, dtype=np.int64)
        for index, group in enumerate(self.groups):
            found[group.labels] = index
        return found

    def groups_on(self, axis: Axis) -> tuple[ChannelGroup, ...]:
        """The groups whose labels stand on an axis, in their order."""
        return tuple(self.groups[index] for index in np.unique(self._group_of[axis]) if index >= 0)

    def marked(self, removed: Mapping[str, Iterable[int]]) -> NDArray[np.bool_]:
        """A mask over labels from channel indices per group name: (labels,)."""
        by_name = {group.name: group for group in self.groups}
        mask = np.zeros(self.propagation.count, dtype=bool)
        for name, channels in removed.items():
            mask[by_name[name].labels[list(channels)]] = True
        return mask

    def removed_from(self, tensor: str, axis: int, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which positions of a tensor's dimension leave with the marked labels."""
        return removed_positions(self.origins[tensor, axis], marked)


@without_collection()
def build_graph(model: nn.Module, input_shape: Sequence[int]) -> ChannelGraph:
    """Trace `model` (any device; nothing is computed) on inputs of `input_shape`, without batch.

    Both the inference and the training path are walked, so that branches that only training runs are
    known too. Raises InputRefused when the inference path cannot run on the meta device.
    """
    shadow = meta_copy(model).eval()
    try:
        calling, (trace, alike) = first_calling(shadow, input_shape, partial(_settled, shadow))
    except Exception as error:
        shape = "x".join(str(size) for size in input_shape)
        raise InputRefused(
            f"the network does not run on an input of {shape}: {first_line(error)}",
            hints=["give the shape of one input without the batch: --input-shape 3x224x224"],
        ) from error
    traces = [trace]
    if alike:
        traces.append(replace(trace, training=True))
    else:
        with suppress(Exception):  # training paths may ask for targets; then only inference is known
            traces.append(record(shadow, calling.empty(shadow), run=calling.run, training=True))
    shapes = {name: tuple(t.shape) for name, t in [*shadow.named_parameters(), *shadow.named_buffers()]}
    alike = alike or (len(traces) > 1 and trace.same_course(traces[1]))
    propagation = propagate(traces[:1] if alike else traces, shapes)
    if alike:  # the second walk would find the same
        propagation = replace(propagation, literals=propagation.literals * 2, outputs=propagation.outputs * 2)
    layers = find_layers(shadow, traces, propagation)
    groups = form_groups(
        propagation.origins, layers, propagation.reasons, forward_order(traces), propagation.count
    )
    return ChannelGraph(shadow, calling, tuple(traces), layers, groups, propagation)


def _settled(model: nn.Module, calling: Calling) -> tuple[Trace, bool]:
    """What the network does once it is settled, and whether training can do nothing else.

    What a first call prepares is no part of it.
    """
    before = _held(model)
    with asking_whether_they_train() as asking:
        trace = record(model, calling.empty(model), run=calling.run)
    alike = not any(map(may_part, asking.values()))
    after = _held(model)
    same = len(before) == len(after) and all(
        old is new and length == now for (old, length), (new, now) in zip(before, after, strict=True)
    )
    # Only what is made from nothing can be kept elsewhere than in the network.
    if same and not any(operation.makes_values for operation in trace.operations):
        return trace, alike
    return record(model, calling.empty(model), run=calling.run), alike


def _held(model: nn.Module) -> list[tuple[object, int]]:
    """What all modules hold, and how much of it where it is a collection."""
    return [
        (value, len(value) if isinstance(value, (dict, list, set)) else 0)
        for module in model.modules()
        for table in (vars(module), module._parameters, module._buffers)
        for value in table.values()
    ]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class when it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def forward_order(traces: Sequence[Trace]) -> dict[str, int]:
    """The names of parameters and buffers, numbered as the forward passes come to them."""
    order: dict[str, int] = {}
    for trace in traces:
        for operation in trace.operations:
            for ref in operation.tensors():
                if ref.name is not None:
                    order.setdefault(ref.name, len(order))
    return order
