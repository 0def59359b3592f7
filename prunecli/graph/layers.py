"""Layers that produce channels: where their filters lie, and which batch norm follows them.

Modules of torch say it by their class. Other modules are layers when a parameter of theirs is the weight of
a convolution or of a product in the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from prunecli.graph.tracing import Trace, tensor_names

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Kinds of modules that have filters → names of their weight and bias.
WEIGHTS: dict[tuple[type[nn.Module], ...], tuple[str, str]] = {
    (*CONVOLUTIONS, *TRANSPOSED, nn.Linear): ("weight", "bias"),
    (nn.MultiheadAttention,): ("in_proj_weight", "in_proj_bias"),
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

    def filters_first(self, tensor: Tensor) -> Tensor:
        """A tensor of the shape of the weight, its axis of filters first."""
        return tensor.movedim(self.filter_axis, 0)

    def rows(self, tensor: Tensor) -> Tensor:
        """A tensor of the shape of the weight as (F, K), one row a filter."""
        first = self.filters_first(tensor)
        return first.reshape(first.shape[0], -1)


def find_layers(model: nn.Module, traces: Sequence[Trace]) -> tuple[Layer, ...]:
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
    for name, (axis, bias_name) in _used_as_weights(traces).items():
        if name in known or name not in shapes:
            continue
        path, _, leaf = name.rpartition(".")
        layers.append(
            Layer(
                path if leaf == "weight" else name,
                type(model.get_submodule(path)).__name__,
                name,
                bias_name,
                axis,
                shapes[name][axis],
                norms.get(name),
            )
        )
    return tuple(layers)


def _used_as_weights(traces: Sequence[Trace]) -> dict[str, tuple[int, str | None]]:
    """Parameters that convolutions and products use as they are → the axis of their filters, and the bias."""
    found: dict[str, tuple[int, str | None]] = {}
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
