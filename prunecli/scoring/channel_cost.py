"""What removing one channel saves, from the traced shapes."""

from __future__ import annotations

import math

from prunecli.criteria.evidence import ChannelCost
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.coupling import leaving_with
from prunecli.graph.layers import Layer

# Operations with a weight: where their arguments hold it.
_WEIGHTED = {"aten.convolution": 1, "aten.addmm": 2, "aten.mm": 1, "aten.linear": 1}


def channel_cost(graph: ChannelGraph, layer: Layer) -> ChannelCost | None:
    """The mean saving of one channel of `layer`, at batch 1, in the network as it stands.

    None for a layer whose filters the graph does not know. A parameter that loses `r` of its `s` positions
    along an axis with a channel saves the share r / s of its elements and of its operations' MACs.
    """
    leaving = leaving_with(graph, layer)
    if not leaving:
        return None
    filters = layer.channels
    shapes = {name: tuple(t.shape) for name, t in graph.model.named_parameters()}
    macs_of, maps_of = _operations(graph)
    macs = params = activations = 0.0
    producers = {(each.weight, each.filter_axis) for each in graph.layers}
    for each in leaving:
        if each.tensor not in shapes:
            continue
        share = len(each.positions) / shapes[each.tensor][each.axis] / filters
        params += math.prod(shapes[each.tensor]) * share
        macs += macs_of.get(each.tensor, 0) * share
        if (each.tensor, each.axis) in producers:
            activations += maps_of.get(each.tensor, 0) * share
    return ChannelCost(macs=macs, params=params, activations=activations)


def _operations(graph: ChannelGraph) -> tuple[dict[str, int], dict[str, int]]:
    """Weight → MACs of the operations with it, and elements of what they make, at batch 1."""
    trace = graph.traces[0]
    batch = trace.inputs[0].shape[0]
    macs: dict[str, int] = {}
    maps: dict[str, int] = {}
    transposed = {
        output.number: operation.tensors()[0].name
        for operation in trace.operations
        if operation.name in {"aten.t", "aten.transpose"}
        for output in operation.outputs
        if operation.tensors()[0].name is not None
    }
    for operation in trace.operations:
        if operation.name not in _WEIGHTED:
            continue
        weight = operation.args[_WEIGHTED[operation.name]]
        name = weight.name or transposed.get(weight.number)
        if name is None:
            continue
        made = math.prod(operation.outputs[0].shape) // batch
        per_output = math.prod(weight.shape) // operation.outputs[0].shape[1]
        if operation.name == "aten.convolution" and operation.args[6]:  # a transposed one spreads its input
            read = math.prod(operation.args[0].shape) // batch
            macs[name] = macs.get(name, 0) + read * math.prod(weight.shape[1:])
        else:
            macs[name] = macs.get(name, 0) + made * per_output
        maps[name] = maps.get(name, 0) + made
    return macs, maps
