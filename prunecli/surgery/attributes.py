"""Attributes of standard modules that repeat the shape of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import kept_count
from prunecli.graph.layers import CONVOLUTIONS, TRANSPOSED
from prunecli.surgery.plan import AttributeChange

Sizes = dict[str, int | tuple[int, ...]]


def size_attributes(
    graph: ChannelGraph, cut: nn.Module, marked: NDArray[np.bool_]
) -> Iterator[AttributeChange]:
    """What changes in the attributes of `cut`, whose tensors are cut already but whose attributes are not."""
    groups = dict(_convolution_groups(graph, marked))
    for path, module in cut.named_modules():
        for name, after in _sizes(module, groups.get(path)).items():
            before = getattr(module, name)
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


def _sizes(module: nn.Module, groups: int | None) -> Sizes:
    """The attributes of a standard module as its tensors have them; nothing for other modules."""
    for kinds, rule in RULES:
        if isinstance(module, kinds):
            found = (_shape(module, name) for name in ("weight", "running_mean", "in_proj_weight"))
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


def _attention(module: Any, shape: tuple[int, ...], _: int | None) -> Sizes:
    rows, width = shape  # query, key and value one after the other, each heads × head_dim rows
    return {
        "embed_dim": width,
        "kdim": width,
        "vdim": width,
        "num_heads": rows // 3 // module.head_dim,
    }


Rule = Callable[[Any, tuple[int, ...], int | None], Sizes]
RULES: tuple[tuple[tuple[type[nn.Module], ...], Rule], ...] = (
    ((*CONVOLUTIONS, *TRANSPOSED), _convolution),
    ((nn.Linear,), lambda _, shape, __: {"in_features": shape[1], "out_features": shape[0]}),
    ((nn.modules.batchnorm._NormBase,), lambda _, shape, __: {"num_features": shape[0]}),
    ((nn.LayerNorm, nn.RMSNorm), lambda _, shape, __: {"normalized_shape": shape}),
    ((nn.GroupNorm,), _group_norm),
    ((nn.Embedding,), lambda _, shape, __: {"num_embeddings": shape[0], "embedding_dim": shape[1]}),
    ((nn.MultiheadAttention,), _attention),
    ((nn.PReLU,), lambda _, shape, __: {"num_parameters": shape[0]}),
)


def _shape(module: nn.Module, name: str) -> tuple[int, ...] | None:
    tensor = getattr(module, name, None)
    return None if tensor is None else tuple(tensor.shape)
