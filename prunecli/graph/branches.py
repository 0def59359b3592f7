"""Where branches end in a residual sum: the layer that ends each, and the module whose output is added.

What a sum adds is walked back, through what treats every channel alone (batch norm, element-wise operations,
views), to the operation that makes it. The end of a branch is a layer; a stem or a projection shortcut, which
begins the stream, is one too, but reads an earlier tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.rules import elementwise, joining, views
from prunecli.graph.rules.contract import rule_for
from prunecli.graph.tracing import Operation, TensorRef, Trace

_CHANNEL_BY_CHANNEL = {
    elementwise.pointwise,
    elementwise.prelu,
    joining.part_of_a_dimension,
    joining.constant_pad,
    views.view,
    views.permute,
    views.transpose,
    views.unsqueeze,
    views.squeeze,
    views.expand,
    views.roll,
}
_VIEWS = {views.view, views.permute, views.transpose, views.matrix_transpose, views.unsqueeze}


@dataclass(frozen=True)
class BranchEnd:
    """The layer whose filters a branch adds to its stream, and the module behind which they are all of it."""

    layer: str
    module: str


@dataclass(frozen=True)
class _Source:
    """What makes a term of a sum: a layer where `layer` names one, and what its output passes on the way."""

    operation: Operation
    layer: str | None
    reads: int  # the operation that made what it reads, -1 for an input of the network
    passed: tuple[Operation, ...]  # the nearest to the source first


def residual_sums(trace: Trace) -> Iterator[tuple[Operation, TensorRef, TensorRef]]:
    """The operations that add two activations of one shape, with the two."""
    for operation in trace.operations:
        if operation.name.rstrip("_") != "aten.add":
            continue
        activations = [ref for ref in operation.tensors() if ref.name is None and len(ref.shape) > 1]
        if len(activations) == 2 and activations[0].shape == activations[1].shape:
            yield operation, activations[0], activations[1]


def branch_ends(graph: ChannelGraph) -> tuple[BranchEnd, ...]:
    """The ends of all branches whose layer and module can be told, in the order of the forward pass."""
    walker = _Walker(graph)
    found: dict[str, BranchEnd] = {}
    for operation, *terms in residual_sums(graph.traces[0]):
        sources = [walker.source_of(term, operation.index) for term in terms]
        reads = [-2 if source is None else source.reads for source in sources]
        branch = sources[reads.index(max(reads))]
        if branch is None or branch.layer is None or reads[0] == reads[1]:
            continue
        module = walker.module_behind(branch)
        if module is not None:
            found.setdefault(module, BranchEnd(branch.layer, module))
    return tuple(found.values())


class _Walker:
    """Walks a trace backwards."""

    def __init__(self, graph: ChannelGraph) -> None:
        self._graph = graph
        self._trace = graph.traces[0]
        self._layers = {layer.weight: layer.name for layer in graph.layers}
        self._writers: dict[int, list[int]] = {}
        self._fed = {ref.number for ref in self._trace.inputs}  # what hangs on the network's inputs
        for operation in self._trace.operations:
            if any(ref.number in self._fed for ref in operation.tensors()):
                self._fed.update(ref.number for ref in operation.outputs)
            for ref in operation.outputs:
                self._writers.setdefault(ref.number, []).append(operation.index)

    def source_of(self, ref: TensorRef, before: int) -> _Source | None:
        """What makes a tensor as it is before an operation; None for the network's inputs and parameters."""
        passed: list[Operation] = []
        while True:
            operation = self._made(ref, before)
            if operation is None or ref.number not in self._fed:
                return None
            read = [each for each in operation.tensors() if each.number in self._fed]
            layer = self._layer_of(operation)
            following = None if layer else _followed(operation, read)
            if following is None:
                return _Source(operation, layer, self._reads(operation, read), tuple(reversed(passed)))
            passed.append(operation)
            ref, before = following, operation.index

    def module_behind(self, branch: _Source) -> str | None:
        """The module of the last batch norm on the way, else the layer's; None where no module is called."""
        for operation in reversed(branch.passed):
            path = self._trace.path_of(operation)
            if is_batch_norm(self._graph.model.get_submodule(path)):
                return path
            if "batch_norm" in operation.name:  # a function: what is scattered before it would be shifted
                return None
        path = self._trace.path_of(branch.operation)
        # Attention multiplies with the weight of its last layer without calling that.
        attends = isinstance(self._graph.model.get_submodule(path), nn.MultiheadAttention)
        return path if attends or path == branch.layer else None

    def _reads(self, operation: Operation, read: list[TensorRef]) -> int:
        """The latest operation that made an input; of an earlier sum, which is the stream, the earliest."""
        made = [self._made(ref, operation.index) for ref in read]
        indices = [-1 if each is None else each.index for each in made]
        return (min if operation.name.rstrip("_") == "aten.add" else max)(indices, default=-1)

    def _made(self, ref: TensorRef, before: int) -> Operation | None:
        """The last operation before a given one that wrote the tensor."""
        writers = [index for index in self._writers.get(ref.number, ()) if index < before]
        return self._trace.operations[writers[-1]] if writers else None

    def _layer_of(self, operation: Operation) -> str | None:
        """The layer whose weight the operation multiplies with, directly, as a view, or computed from it."""
        if operation.name != "aten.convolution" and "mm" not in operation.name:
            return None
        for ref in operation.tensors():
            source: TensorRef | None = ref
            while source is not None and source.name is None:
                made = self._made(source, operation.index)
                viewed = made is not None and rule_for(made.name) in _VIEWS
                source = made.tensors()[0] if made is not None and viewed else None
            if source is not None and source.name in self._layers:
                return self._layers[source.name]
        path = self._trace.path_of(operation)
        attends = isinstance(self._graph.model.get_submodule(path), nn.MultiheadAttention)
        return path if path in self._layers.values() and not attends else None


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module normalises every channel of dimension 1 by itself, by whatever class."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) or "BatchNorm" in type(module).__name__


def _followed(operation: Operation, read: list[TensorRef]) -> TensorRef | None:
    """The input that an operation hands on, channel by channel; None where it does more than that."""
    if operation.name.rstrip("_") == "aten.index_add":  # a branch that is scattered already
        source: TensorRef = operation.args[3]
        return source
    if "batch_norm" not in operation.name and rule_for(operation.name) not in _CHANNEL_BY_CHANNEL:
        return None
    whole = [ref for ref in read if len(read) == 1 or ref.shape == operation.outputs[0].shape]
    return whole[0] if len(whole) == 1 else None
