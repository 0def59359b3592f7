"""What is in a file, which architecture, what it costs, and what can be pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.cost.differences import differences
from prunecli.cost.macs import Cost, measure
from prunecli.cost.thop_figures import ThopFigures, thop_figures
from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.groups import ChannelGroup, Member
from prunecli.workflows.opening import Opened, Opening, open_checkpoint


@dataclass(frozen=True, eq=False)
class Inspection:
    """A checkpoint seen from all sides."""

    opened: Opened
    cost: Cost
    thop: ThopFigures
    differences: tuple[str, ...]
    graph: ChannelGraph | None
    problems: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way."""
        return self.opened.notes

    def document(self) -> dict[str, Any]:
        """The JSON of `inspect`."""
        checkpoint, architecture = self.opened.checkpoint, self.opened.architecture
        return {
            "path": checkpoint.path,
            "kind": checkpoint.kind,
            "architecture": {
                "source": architecture.source,
                "name": architecture.name,
                "confidence": self.opened.confidence,
                "arguments": dict(architecture.arguments),
            },
            "input_shape": list(architecture.input_shape),
            "dtype": self.opened.dtype,
            "params": self.cost.params,
            "macs": self.cost.macs,
            "flops": self.cost.flops,
            "bytes": checkpoint.bytes,
            "sha256": checkpoint.sha256,
            "thop": thop_document(self.thop),
            "differences": list(self.differences),
            "layers": [
                {"name": layer.name, "type": layer.type, "channels": layer.channels}
                for layer in (self.graph.layers if self.graph else ())
            ],
            "groups": [_group(group) for group in (self.graph.groups if self.graph else ())],
            "problems": list(self.problems),
            "history": [dict(step) for step in self.opened.history],
            "facts": {name: value for name, value in checkpoint.facts.items() if _shown(value)},
        }


def inspect(opening: Opening) -> Inspection:
    """Open a checkpoint and look at it; raises InputRefused when it is none that can be known."""
    opened = open_checkpoint(opening)
    shape = opened.architecture.input_shape
    cost = measure(opened.model, shape)
    thop = thop_figures(opened.model, shape)
    problems = [*cost.notes, *([thop.reason] if thop.reason else [])]
    graph: ChannelGraph | None = None
    try:
        graph = build_graph(opened.model, shape)
        problems += [f"{reason}: its channels stay" for reason in graph.propagation.unknown.values()]
    except InputRefused as error:
        problems.append(f"its channels cannot be followed: {error.message}")
    reasons = tuple(found.sentence for found in differences(opened.model, shape, thop=thop))
    return Inspection(opened, cost, thop, reasons, graph, tuple(problems))


def thop_document(thop: ThopFigures) -> dict[str, Any]:
    """Thop's figures as JSON values; null where it has none."""
    return {"macs": thop.macs, "params": thop.params}


def _group(group: ChannelGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "channels": group.channels,
        "members": [{"layer": member.layer, "axis": member.axis} for member in _by_layer(group.members)],
        "prunable": group.prunable,
        "reason": group.reason,
    }


def _by_layer(members: Sequence[Member]) -> list[Member]:
    """One member a layer and axis: a bias says nothing that its weight does not."""
    seen: dict[tuple[str, int], Member] = {}
    for member in members:
        seen.setdefault((member.layer, member.axis), member)
    return list(seen.values())


def _shown(value: object) -> bool:
    return isinstance(value, (str, int, float, bool)) or value is None
