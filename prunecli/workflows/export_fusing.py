"""Batch norms folded into the layers before them, proved before anything is written."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from prunecli.errors import WorkFailed
from prunecli.exporters.comparison import tensors_of
from prunecli.graph.inputs import weights_type
from prunecli.graph.meta import meta_copy
from prunecli.graph.tracing import Operation, Trace, record
from prunecli.workflows.export_inputs import in_type

TOLERANCE = 1e-9
NORM = "aten.native_batch_norm"
CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# What a batch norm of timm does after it has normalised; folded, that is left.
AFTERWARDS = ("drop", "act")

Fold = Callable[[Any, Any], nn.Module]


@dataclass(frozen=True)
class Pair:
    """A layer and the batch norm that alone reads what it gives, by their paths."""

    layer: str
    norm: str


def fused(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[nn.Module, tuple[Pair, ...]]:
    """A copy of `model` without the batch norms that can be folded, and which these were.

    `model` takes `inputs` by position, in evaluation mode. Raises WorkFailed when the copy does not compute
    the same in float64.
    """
    pairs = pairs_of(model, inputs)
    kind = weights_type(model)
    made = copy.deepcopy(model).double()  # the only rounding is that of the folded weights, at the end
    with torch.no_grad():
        for pair in pairs:
            layer, norm = made.get_submodule(pair.layer), made.get_submodule(pair.norm)
            made.set_submodule(pair.layer, _fold(layer)(layer, norm))
            made.set_submodule(pair.norm, _left_of(norm))
    _prove(model, made, inputs)
    return made.to(kind).eval(), pairs


def pairs_of(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[Pair, ...]:
    """The layers, called once, whose outputs one batch norm called once reads and nothing else."""
    copied = meta_copy(model)
    trace = record(copied, [torch.empty_like(each, device="meta") for each in inputs])
    readers = Counter(ref.number for operation in trace.operations for ref in operation.tensors())
    readers.update(ref.number for ref in trace.outputs)
    calls = Counter(call.path for call in trace.calls)
    makers = {ref.number: operation for operation in trace.operations for ref in operation.outputs}
    modules = dict(copied.named_modules())
    pairs = []
    for operation in trace.operations:
        maker = makers.get(operation.tensors()[0].number) if operation.name == NORM else None
        if maker is None or readers[operation.tensors()[0].number] != 1:
            continue
        pair = Pair(_path(trace, maker), _path(trace, operation))
        once = calls[pair.layer] == calls[pair.norm] == 1
        if once and _fits(modules.get(pair.layer), modules.get(pair.norm)):
            pairs.append(pair)
    return tuple(pairs)


def _path(trace: Trace, operation: Operation) -> str:
    return trace.path_of(operation)


def _fits(layer: nn.Module | None, norm: nn.Module | None) -> bool:
    """Whether both are standard modules without hooks, and what the norm does more is known."""
    if layer is None or norm is None or not isinstance(norm, NORMS) or norm.running_mean is None:
        return False
    known = type(norm) in NORMS or set(dict(norm.named_children())) <= set(AFTERWARDS)
    plain = type(layer) in (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)
    hooked = any(each._forward_hooks or each._forward_pre_hooks for each in (layer, norm))
    return plain and known and not hooked


def _fold(layer: nn.Module) -> Fold:
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval
    if isinstance(layer, TRANSPOSED):
        return lambda conv, norm: fuse_conv_bn_eval(conv, norm, transpose=True)
    return fuse_conv_bn_eval


def _left_of(norm: nn.Module) -> nn.Module:
    """What a batch norm does beside normalising."""
    parts = [(name, part) for name, part in norm.named_children() if name in AFTERWARDS]
    kept = [(name, part) for name, part in parts if not isinstance(part, nn.Identity)]
    return nn.Sequential(OrderedDict(kept)) if kept else nn.Identity()


def _prove(model: nn.Module, made: nn.Module, inputs: Sequence[Tensor]) -> None:
    given = in_type(inputs, torch.float64)
    with torch.no_grad():
        expected, found = tensors_of(copy.deepcopy(model).double()(*given)), tensors_of(made(*given))
    for one, other in zip(expected, found, strict=True):
        error, scale = float((one - other).abs().max()), float(one.abs().max())
        if not error <= TOLERANCE * max(scale, 1.0):
            raise WorkFailed(
                "with its batch norms folded the network computes something else: "
                f"outputs differ by {error:.3g}",
                hints=["leave --fuse out"],
            )
