"""Attributes of standard modules that repeat the shape of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import kept_count, removed_positions
from prunecli.graph.layers import CONVOLUTIONS, TRANSPOSED
from prunecli.graph.recurrent import GATES
from prunecli.graph.tracing import TensorRef
from prunecli.surgery.plan import AttributeChange

Sizes = dict[str, int | tuple[int, ...]]

# The tensors whose shape says a module's sizes, under the names that they have in modules of torch.
WEIGHTS = ("weight", "running_mean", "in_proj_weight", "weight_ih_l0", "weight_ih")
CHANNELS_OF_NORMS = ((nn.modules.batchnorm._NormBase, "num_features"), (nn.GroupNorm, "num_channels"))


def size_attributes(
    graph: ChannelGraph, cut: nn.Module, marked: NDArray[np.bool_]
) -> Iterator[AttributeChange]:
    """What changes in the attributes of `cut`, whose tensors are cut already but whose attributes are not."""
    groups = {**dict(_convolution_groups(graph, marked)), **dict(_heads(graph, marked))}
    yield from _norms_without_tensors(graph, marked)
    for path, module in cut.named_modules():
        for name, after in _sizes(module, groups.get(path)).items():
            before = getattr(module, name)
            if after != before:
                yield AttributeChange(path, name, before, after)


def _norms_without_tensors(graph: ChannelGraph, marked: NDArray[np.bool_]) -> Iterator[AttributeChange]:
    """Norms that neither scale nor keep statistics have the channels of what they read."""
    trace, made = graph.traces[0], graph.propagation.outputs[0]
    makers = {ref.number: each.index for each in trace.operations for ref in each.outputs[:1]}
    modules = dict(graph.model.named_modules())
    read = {call.path: call.args[0] for call in trace.calls if call.args}
    for path, module in modules.items():
        name = next((name for kinds, name in CHANNELS_OF_NORMS if isinstance(module, kinds)), None)
        ref = read.get(path)
        if name is None or module._parameters.get("weight") is not None or not isinstance(ref, TensorRef):
            continue
        axes = made.get(makers.get(ref.number, -1), ())
        before = getattr(module, name)
        if len(axes) > 1 and len(axes[1]) == before:
            after = kept_count(axes[1], marked)
            if after != before:
                yield AttributeChange(path, name, before, after)


def _convolution_groups(graph: ChannelGraph, marked: NDArray[np.bool_]) -> Iterator[tuple[str, int]]:
    """Module path of a grouped convolution (or group norm) → groups that stay."""
    for trace, literals in zip(graph.traces, graph.propagation.literals, strict=True):
        for literal in literals:
            operation = trace.operations[literal.operation]
            place = {"aten.convolution": (8,), "aten.native_group_norm": (6,)}.get(operation.name)
            if place == literal.path:
                yield trace.path_of(operation), kept_count(literal.axis, marked)


def _heads(graph: ChannelGraph, marked: NDArray[np.bool_]) -> Iterator[tuple[str, int]]:
    """Module path of an attention → heads of which something stays."""
    for path, module in graph.model.named_modules():
        axis = graph.origins.get((f"{path}.in_proj_weight".lstrip("."), 0))
        if axis is not None and isinstance(module, nn.MultiheadAttention):
            kept = ~removed_positions(axis, marked)
            yield path, int(kept.reshape(3, module.num_heads, -1).any(axis=(0, 2)).sum())


def _sizes(module: nn.Module, groups: int | None) -> Sizes:
    """The attributes of a standard module as its tensors have them; nothing for other modules."""
    for kinds, rule in RULES:
        if isinstance(module, kinds):
            found = (_shape(module, name) for name in WEIGHTS)
            shape = next((each for each in found if each is not None), None)
            return {} if shape is None else rule(module, shape, groups)
    return {}


def _convolution(module: Any, shape: tuple[int, ...], groups: int | None) -> Sizes:
    count = module.groups if groups is None else groups
    first, second = shape[0], shape[1] * count
    into, out = (first, second) if isinstance(module, TRANSPOSED) else (second, first)
    return {"in_channels": into, "out_channels": out, "groups": count}


def _group_norm(module: Any, shape: tuple[int, ...], groups: int | None) -> Sizes:
    return {"num_channels": shape[0], "num_groups": module.num_groups if groups is None else groups}


def _attention(module: Any, shape: tuple[int, ...], heads: int | None) -> Sizes:
    rows, width = shape  # query, key and value one after the other, each heads × head_dim rows
    count = module.num_heads if heads is None else heads
    return {
        "embed_dim": width,
        "kdim": width,
        "vdim": width,
        "num_heads": count,
        "head_dim": rows // 3 // count,
    }


def _recurrent(module: Any, shape: tuple[int, ...], _: int | None) -> Sizes:
    gates, width = shape  # every unit has as many rows as there are gates
    sizes: Sizes = {"input_size": width, "hidden_size": gates // GATES[module.mode.lower()]}
    return sizes | ({"proj_size": module.weight_hr_l0.shape[0]} if module.proj_size else {})


def _recurrent_cell(module: Any, shape: tuple[int, ...], _: int | None) -> Sizes:
    gates = next(count for kind, count in CELL_GATES.items() if isinstance(module, kind))
    return {"input_size": shape[1], "hidden_size": shape[0] // gates}


CELL_GATES: dict[type[nn.Module], int] = {nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}
Rule = Callable[[Any, tuple[int, ...], int | None], Sizes]
RULES: tuple[tuple[tuple[type[nn.Module], ...], Rule], ...] = (
    ((*CONVOLUTIONS, *TRANSPOSED), _convolution),
    ((nn.Linear,), lambda _, shape, __: {"in_features": shape[1], "out_features": shape[0]}),
    ((nn.modules.batchnorm._NormBase,), lambda _, shape, __: {"num_features": shape[0]}),
    ((nn.LayerNorm, nn.RMSNorm), lambda _, shape, __: {"normalized_shape": shape}),
    ((nn.GroupNorm,), _group_norm),
    ((nn.Embedding,), lambda _, shape, __: {"num_embeddings": shape[0], "embedding_dim": shape[1]}),
    ((nn.MultiheadAttention,), _attention),
    ((nn.RNNBase,), _recurrent),
    ((nn.RNNCellBase,), _recurrent_cell),
    ((nn.PReLU,), lambda _, shape, __: {"num_parameters": shape[0]}),
)


def _shape(module: nn.Module, name: str) -> tuple[int, ...] | None:
    tensor = getattr(module, name, None)
    return None if tensor is None else tuple(tensor.shape)
