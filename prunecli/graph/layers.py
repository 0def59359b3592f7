"""Layers that produce channels: where their filters lie, and which batch norm follows them.

Modules of torch say it by their class. Other modules are layers when a parameter of theirs is the weight of
a convolution or of a product in the trace, as it is or computed anew in each pass (`computed_weights.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from prunecli.graph.computed_weights import Used, computed_weights
from prunecli.graph.propagation import Propagation
from prunecli.graph.rules.recurrent import OPERATIONS, Cell, cells_of
from prunecli.graph.tracing import Trace, tensor_names

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Kinds of modules that have filters → names of their weight and bias.
WEIGHTS: dict[tuple[type[nn.Module], ...], tuple[str, str]] = {
    (*CONVOLUTIONS, *TRANSPOSED, nn.Linear): ("weight", "bias"),
    (nn.MultiheadAttention,): ("in_proj_weight", "in_proj_bias"),
    (nn.RNNBase,): ("weight_ih_l0", "bias_ih_l0"),
    (nn.RNNCellBase,): ("weight_ih", "bias_ih"),
}


@dataclass(frozen=True)
class Layer:
    """A layer with filters: names of its tensors, and the axis of the weight that counts filters."""

    name: str
    type: str
    weight: str
    bias: str | None
    filter_axis: int
    channels: int
    batch_norm: str | None  # module path of the batch norm that reads exactly this layer's output

    @property
    def bare(self) -> bool:
        """Whether the weight is a parameter that a forward uses by itself: the name is no module's."""
        return self.name == self.weight

    def module(self, model: nn.Module) -> nn.Module:
        """The module of `model` that is the layer, or that holds its weight."""
        return model.get_submodule(self.weight.rpartition(".")[0] if self.bare else self.name)

    def filters_first(self, tensor: Tensor) -> Tensor:
        """A tensor of the shape of the weight, its axis of filters first."""
        return tensor.movedim(self.filter_axis, 0)

    def rows(self, tensor: Tensor) -> Tensor:
        """A tensor of the shape of the weight as (F, K), one row a filter."""
        first = self.filters_first(tensor)
        return first.reshape(first.shape[0], -1)


def holder_of(tensor: str) -> str:
    """The module that holds a tensor or computes a parameter from it; without one the tensor's name."""
    return (tensor.rpartition(".")[0] or tensor).partition(".parametrizations.")[0]


def find_layers(model: nn.Module, traces: Sequence[Trace], propagation: Propagation) -> tuple[Layer, ...]:
    """The layers with filters, in the order in which they are registered."""
    names = tensor_names(model)
    norms = _batch_norms(traces)
    layers = []
    for path, module in model.named_modules():
        kind = next((kinds for kinds in WEIGHTS if isinstance(module, kinds)), None)
        if kind is None:
            continue
        weight, bias = (getattr(module, name, None) for name in WEIGHTS[kind])
        name = names.get(id(weight))
        if weight is None or name is None:  # parametrised weights are computed anew at each access
            continue
        axis = 1 if isinstance(module, TRANSPOSED) else 0
        bias_name = names.get(id(bias)) if bias is not None else None
        layers.append(
            Layer(path, type(module).__name__, name, bias_name, axis, weight.shape[axis], norms.get(name))
        )
    known = {layer.weight for layer in layers}
    shapes = {name: tensor.shape for name, tensor in model.named_parameters()}
    called = {layer.name for layer in layers}
    used = _used_as_weights(traces)
    used = used | {n: u for n, u in computed_weights(traces, propagation).items() if n not in used}
    for name, (axis, bias_name) in used.items():
        if name in known or name not in shapes:
            continue
        path, _, leaf = name.rpartition(".")
        holder = holder_of(name)
        own = bool(path) and (leaf == "weight" or holder != path) and holder not in called
        called.add(holder)
        made_by = type_before_parametrizations(model.get_submodule(holder if path else ""))
        layers.append(
            Layer(
                holder if own else name,
                made_by.__name__,
                name,
                bias_name,
                axis,
                shapes[name][axis],
                norms.get(name),
            )
        )
    return tuple(layers)


def _used_as_weights(traces: Sequence[Trace]) -> dict[str, Used]:
    """Parameters that convolutions and products use as they are → the axis of their filters, and the bias."""
    found: dict[str, Used] = {}
    for trace in traces:
        turned: dict[int, str] = {}
        for operation in trace.operations:
            tensors = operation.tensors()
            if operation.name == "aten.t" and tensors[0].name:
                turned[operation.outputs[0].number] = tensors[0].name
            elif operation.name == "aten.convolution" and tensors[1].name:
                bias = tensors[2].name if len(tensors) > 2 else None
                found.setdefault(tensors[1].name, (1 if operation.args[6] else 0, bias))
            elif operation.name in {"aten.addmm", "aten.mm"}:
                weight = tensors[-1]
                bias = tensors[0].name if len(tensors) > 2 else None
                if weight.name:
                    found.setdefault(weight.name, (1, bias))
                elif weight.number in turned:
                    found.setdefault(turned[weight.number], (0, bias))
            elif operation.name in OPERATIONS:
                for cell in cells_of(operation):
                    found |= _filters_of(cell)
    return found


def _filters_of(cell: Cell) -> dict[str, Used]:
    """The weights of a recurrent cell that make its units, and those that make of them what it gives."""
    found: dict[str, Used] = {}
    if cell.read.name:
        found[cell.read.name] = 0, cell.biases[0].name if cell.biases else None
    if cell.project is not None and cell.project.name:
        found[cell.project.name] = 0, None
    return found


def _batch_norms(traces: Sequence[Trace]) -> dict[str, str]:
    """Weight name of a convolution → path of the batch norm that normalises its output."""
    found: dict[str, str] = {}
    for trace in traces:
        made_by: dict[int, str] = {}
        for operation in trace.operations:
            tensors = operation.tensors()
            if operation.name == "aten.convolution" and tensors[1].name:
                made_by[operation.outputs[0].number] = tensors[1].name
            elif "batch_norm" in operation.name and tensors[0].number in made_by:
                named = [ref.name for ref in tensors[1:] if ref.name]
                if named:
                    found[made_by[tensors[0].number]] = named[0].rpartition(".")[0]
    return found
