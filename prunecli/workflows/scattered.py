"""A network made ready for channels that leave the branches of residual sums alone."""

from __future__ import annotations

from dataclasses import replace

from prunecli.allocation.bounds import SCATTER
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.scattering import scatterable, scatterable_for
from prunecli.workflows.opening import Opened
from prunecli.workflows.plan_files import read_plan


def with_scatters(opened: Opened, *, plan: str | None, residual: str) -> Opened:
    """The same checkpoint, its network with the scatters that a saved plan cuts or the mode asks for.

    Tensors are shared with the network as it was opened. Raises InputRefused for a plan of another network.
    """
    if plan is not None:
        return replace(opened, model=scatterable_for(read_plan(plan), opened.model))
    if residual != SCATTER:
        return opened
    graph = build_graph(opened.model, opened.architecture.input_shape)
    return replace(opened, model=scatterable(opened.model, graph))
