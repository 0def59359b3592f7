"""A smaller input for the proof, where the network computes the same on it with fewer positions.

What is proved is which weights meet which channels, and that does not depend on the size of a picture. A
network that takes only one size, or would do something else on another, is proved on the size of its trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.inputs import Calling
from prunecli.graph.tracing import Trace, record

# Sides of a picture and how many; some networks take no other sides than these
SAMPLES = ((64, 1), (112, 1), (128, 1))
# Batch statistics need more: after a stride of 32 nine or eight values of a channel are left
SAMPLES_FOR_STATISTICS = ((80, 1), (64, 2), (128, 1), (128, 2))
PARTS = (1 / 2, 2 / 3)  # of the longer side, for those that do less on all of these, in steps of STEP
STEP = 32
WORTH = 2  # times fewer positions: tracing once more takes time as well
ENOUGH_VALUES = 8  # of a channel in a batch: of two values batch statistics leave nothing but the signs
BATCH_NORM = "batch_norm"
# What torch does instead where numbers lie in memory in another way, as they do for one sample
IN_MEMORY = {"aten.clone", "aten.view", "aten._unsafe_view", "aten.alias", "aten.expand"}
SAME_AS = {"aten.addmm": ("aten.mm", "aten.add")}


def graphs_for_proof(graph: ChannelGraph) -> Iterator[ChannelGraph]:
    """The graph with traces of smaller inputs, on which the network does the same, the least work first.

    Pictures get another size, and one sample serves instead of two where batch statistics allow it. Groups
    and labels are those of `graph`, which comes last.
    """
    for calling, batch in (*_smaller(graph), (graph.calling, 1)):
        traces = _traces(graph, calling, batch)
        if traces:
            yield replace(graph, calling=calling, traces=traces)
    yield graph


def graph_for_proof(graph: ChannelGraph) -> ChannelGraph:
    """The first of them."""
    return next(graphs_for_proof(graph))


def ignores_mode(graph: ChannelGraph) -> bool:
    """Whether the network does exactly the same in training mode as in inference mode, dropout aside."""
    if not graph.trains_alike or _has_batch_statistics(graph):
        return False
    batch = graph.traces[0].inputs[0].shape[0]
    inference, training = (_trace(graph, graph.calling, batch, training=mode) for mode in (False, True))
    return [(one.name, one.args, one.kwargs) for one in inference.operations] == [
        (one.name, one.args, one.kwargs) for one in training.operations
    ]


def _smaller(graph: ChannelGraph) -> Iterator[tuple[Calling, int]]:
    """The same call on smaller pictures and with how many samples, the least work first."""
    calling, first = graph.calling, graph.calling.inputs[0]
    if calling.parts is not None or first.below is not None or len(first.shape) < 3:
        return
    *kept, height, width = first.shape
    samples = SAMPLES_FOR_STATISTICS if _has_batch_statistics(graph) else SAMPLES
    parts = [(int(max(height, width) * part) // STEP * STEP, 1) for part in PARTS]
    for side, batch in (*samples, *(each for each in parts if each[0] > samples[-1][0])):
        sides = min(height, side), min(width, side)
        if height * width >= WORTH * sides[0] * sides[1]:
            small = replace(first, shape=(*kept, *sides))
            inputs = tuple(small if each == first else each for each in calling.inputs)
            yield replace(calling, inputs=inputs), batch


def _traces(graph: ChannelGraph, calling: Calling, batch: int) -> tuple[Trace, ...]:
    """Traces in the modes of those of `graph`; none where the network refuses the input or does less."""
    found: list[Trace] = []
    for large in graph.traces:
        if found and graph.trains_alike:
            found.append(replace(found[0], training=large.training))
            continue
        try:
            found.append(_trace(graph, calling, batch, training=large.training))
        except Exception:  # whatever a forward raises on an input that it was not made for
            return ()
        if not _does_all(found[-1], large):
            return ()
    return tuple(found)


def _trace(graph: ChannelGraph, calling: Calling, batch: int, *, training: bool) -> Trace:
    inputs = calling.empty(graph.model, batch=batch)
    return record(graph.model, inputs, run=calling.run, training=training)


def _does_all(small: Trace, large: Trace) -> bool:
    """Whether the small input takes the network through all that the large one does.

    The same calls of modules and the same weights in the same order, every operation in the module that has
    it on the large input, and batch statistics that mean something. More may be done, such as padding.
    """
    return (
        [call.path for call in small.calls] == [call.path for call in large.calls]
        and _weights_met(small) == _weights_met(large)
        and _kinds(small) >= _kinds(large)
        and all(map(_enough, _normalised(small), _normalised(large)))
    )


def _weights_met(trace: Trace) -> list[str]:
    return [ref.name for operation in trace.operations for ref in operation.tensors() if ref.name]


def _kinds(trace: Trace) -> set[tuple[str, str]]:
    """Which operations each module runs, those aside that only say how numbers lie in memory."""
    return {
        (trace.path_of(operation), name)
        for operation in trace.operations
        if operation.name not in IN_MEMORY
        for name in SAME_AS.get(operation.name, (operation.name,))
    }


def _normalised(trace: Trace) -> list[tuple[int, ...]]:
    return [each.tensors()[0].shape for each in trace.operations if BATCH_NORM in each.name]


def _enough(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether a channel has enough values in a batch (N, C, ...), or as many as on the large input."""
    return math.prod(small) // small[1] >= min(ENOUGH_VALUES, math.prod(large) // large[1])


def _has_batch_statistics(graph: ChannelGraph) -> bool:
    return any(_normalised(trace) for trace in graph.traces)
