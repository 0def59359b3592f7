"""What is in a file, which architecture, what it costs, and what can be pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from prunecli.allocation.bounds import Bounds
from prunecli.checkpoints import write_data
from prunecli.checkpoints.outputs import STREAM
from prunecli.cost.differences import differences
from prunecli.cost.macs import Cost, measure
from prunecli.cost.thop_figures import ThopFigures, thop_figures
from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.description import described
from prunecli.reports.graphs.drawing import draw
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.surgery.linking import links_of
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.rounding import Rounding, rounding
from prunecli.workflows.saving import destination


@dataclass(frozen=True, eq=False)
class Inspection(ShownInNotebooks, command="inspect"):
    """A checkpoint seen from all sides; `rounding` says which widths are slow, `output` what was drawn."""

    opened: Opened
    cost: Cost
    thop: ThopFigures
    differences: tuple[str, ...]
    graph: ChannelGraph | None
    problems: tuple[str, ...]
    rounding: Rounding | None = None
    output: Mapping[str, Any] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way, and what was measured of the machine."""
        return (*self.opened.notes, *(self.rounding.notes if self.rounding else ()))

    @cached_property
    def channels(self) -> dict[str, Any]:
        """`groups` and `flow` of the channel graph; both empty where channels cannot be followed."""
        return with_links(self.graph) if self.graph else {"groups": [], "flow": []}

    def drawing(self, form: str) -> str:
        """The channel graph as text, dot, mermaid or svg. Raises InputRefused where there is none."""
        if self.graph is None:
            raise InputRefused("there is no channel graph to draw", hints=[*self.problems])
        return draw(self.channels, form)

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
            **self.channels,
            "widths": self._widths(),
            "problems": list(self.problems),
            "history": [dict(step) for step in self.opened.history],
            "facts": {name: value for name, value in checkpoint.facts.items() if _shown(value)},
            **({} if self.output is None else {"output": dict(self.output)}),
        }

    def _widths(self) -> dict[str, Any] | None:
        """The multiple that widths are held against, and the layers that could be of another width."""
        if self.graph is None or self.rounding is None:
            return None
        multiple = self.rounding.multiple
        free = {group["name"] for group in self.channels["groups"] if group["prunable"]}
        slow = [row for row in self.channels["flow"] if row["channels"] % multiple and free & {*row["makes"]}]
        names = [row["layer"] for row in slow]
        return {"multiple": multiple, "measured": self.rounding.measured, "slow": names}


def with_links(graph: ChannelGraph) -> dict[str, Any]:
    """The description of a graph; in `linked` of a group what leaves with how many of its channels."""
    found = described(graph)
    said: dict[str, list[dict[str, Any]]] = {}
    for link in links_of(graph):
        said.setdefault(link.group, []).append({"unit": link.unit, "with": dict(link.followers)})
        for name, each in link.followers.items():
            said.setdefault(name, []).append({"unit": link.unit, "of": link.group, "each": each})
    for group in found["groups"]:
        group["linked"] = said.get(group["name"], [])
    return found


def inspect(
    opening: Opening,
    *,
    graph: str | None = None,
    output: str | None = None,
    widths: bool = False,
    force: bool = False,
    keep: Keepsakes | None = None,
) -> Inspection:
    """Open a checkpoint and look at it.

    With `output` the channel graph is written there, drawn as `graph` (text, dot, mermaid or svg) says.
    `widths` finds out in some seconds which widths this machine likes; `keep` says which report to write.
    Raises InputRefused when the checkpoint is none that can be known, WrongUse for an output that cannot be.
    """
    kept = keep or Keepsakes()
    with destination(opening, output, *kept.paths, force=force):
        found = _inspected(opening, widths=widths)
        if output not in (None, STREAM) and graph is not None:
            data = found.drawing(graph).encode("utf-8")
            found = replace(found, output={**asdict(write_data(output, data, force=force)), "format": graph})
        kept.write("inspect", found.document())
    return found


def _inspected(opening: Opening, *, widths: bool) -> Inspection:
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
    liked = rounding(Bounds(), graph, measure=widths, device=opening.device) if graph else None
    return Inspection(opened, cost, thop, reasons, graph, tuple(problems), liked)


def thop_document(thop: ThopFigures) -> dict[str, Any]:
    """Thop's figures as JSON values; null where it has none."""
    return {"macs": thop.macs, "params": thop.params}


def _shown(value: object) -> bool:
    return isinstance(value, (str, int, float, bool)) or value is None
