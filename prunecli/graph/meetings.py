"""What couples the channels of a group: the operations of the forward pass in which its tensors meet.

Ties themselves are numbers. This reads off the solved axes where two tensors of one group came together, and
says it in a word for the kind of operation and the module that it stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import Axis
from prunecli.graph.tracing import Operation

WORDS: Mapping[str, str] = {
    "aten.add": "sum",
    "aten.add_": "sum",
    "aten.sub": "difference",
    "aten.mul": "product",
    "aten.mul_": "product",
    "aten.div": "quotient",
    "aten.maximum": "maximum",
    "aten.where": "choice",
    "aten.split": "equal parts",
    "aten.chunk": "equal parts",
    "aten.bmm": "matrix product",
    "aten.matmul": "matrix product",
    "aten._scaled_dot_product_flash_attention_for_cpu": "attention",
    "aten.scaled_dot_product_attention": "attention",
    "aten.convolution": "convolution in groups",
}
"""Operations that tie channels of what they are given, by the word for the meeting."""
_ONE_TENSOR = ("aten.split", "aten.chunk")
_GROUPS = 8  # place of the number of groups among the arguments of a convolution


@dataclass(frozen=True)
class Meeting:
    """One kind of operation that couples a group, and the modules it stands in, in the order of the calls."""

    how: str
    where: tuple[str, ...]


def meetings(graph: ChannelGraph) -> dict[str, tuple[Meeting, ...]]:
    """Group name → what couples its channels; nothing where a single layer makes them and none meet."""
    owner = np.full(graph.propagation.count, -1, dtype=np.int64)
    for number, group in enumerate(graph.groups):
        owner[group.labels] = number
    known: dict[int, tuple[Axis, frozenset[int]]] = {}  # by identity: most operations hand their axes on

    def groups_of(axes: Iterable[Axis]) -> frozenset[int]:
        found: set[int] = set()
        for axis in axes:
            if id(axis) not in known:
                owners = owner[np.unique(axis[axis > 0])] if axis.size else axis
                known[id(axis)] = (axis, frozenset(int(each) for each in np.unique(owners) if each >= 0))
            found |= known[id(axis)][1]
        return frozenset(found)

    met: list[dict[str, dict[str, None]]] = [{} for _ in graph.groups]
    for trace, axes in zip(graph.traces, graph.propagation.outputs, strict=False):
        for operation in trace.operations:
            if operation.name not in WORDS or operation.index not in axes or not _meets(operation):
                continue
            for number in groups_of(axes[operation.index]):
                places = met[number].setdefault(WORDS[operation.name], {})
                places[trace.path_of(operation) or "the network"] = None
    return {
        group.name: tuple(Meeting(how, tuple(where)) for how, where in found.items())
        for group, found in zip(graph.groups, met, strict=True)
    }


def _meets(operation: Operation) -> bool:
    """Whether the operation brings channels of its input together, and does not only pass them on."""
    if operation.name == "aten.convolution":
        return len(operation.args) > _GROUPS and operation.args[_GROUPS] > 1
    if operation.name in _ONE_TENSOR:
        return True
    made = [ref for ref in operation.tensors() if ref.name is None]
    return sum(any(size > 1 for size in ref.shape) for ref in made) > 1  # a number meets nothing
