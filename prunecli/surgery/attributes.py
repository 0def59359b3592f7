"""Attributes of standard modules that repeat the shape of their tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.labels import removed_positions
from prunecli.graph.layers import CONVOLUTIONS, TRANSPOSED
from prunecli.surgery.plan import AttributeChange

Sizes = dict[str, int | tuple[int, ...]]
BATCH_NORMS = nn.modules.batchnorm._NormBase


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
                kept = len(literal.axis) - int(removed_positions(literal.axis, marked).sum())
                yield trace.path_of(operation), kept


def _sizes(module: nn.Module, groups: int | None) -> Sizes:
    """The attributes of a standard module as its tensors have them; nothing for other modules."""
    shape: Any = _shape(module, "weight")
    if isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)) and shape is not None:
        count = groups if groups is not None else module.groups
        first, second = shape[0], shape[1] * count
        into, out = (first, second) if isinstance(module, TRANSPOSED) else (second, first)
        return {"in_channels": into, "out_channels": out, "groups": count}
    if isinstance(module, nn.Linear) and shape is not None:
        return {"in_features": shape[1], "out_features": shape[0]}
    if isinstance(module, BATCH_NORMS):
        stated = shape or _shape(module, "running_mean")
        return {"num_features": stated[0]} if stated else {}
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) and shape is not None:
        return {"normalized_shape": tuple(shape)}
    if isinstance(module, nn.GroupNorm) and shape is not None:
        return {"num_channels": shape[0], "num_groups": module.num_groups if groups is None else groups}
    if isinstance(module, nn.Embedding):
        return {"num_embeddings": shape[0], "embedding_dim": shape[1]}
    if isinstance(module, nn.PReLU):
        return {"num_parameters": shape[0]}
    return {}


def _shape(module: nn.Module, name: str) -> tuple[int, ...] | None:
    tensor = getattr(module, name, None)
    return None if tensor is None else tuple(tensor.shape)
