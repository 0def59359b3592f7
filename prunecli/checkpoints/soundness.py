"""Which tensors may be worked on: dense, of plain numbers, finite. The others are named and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused

_PLAIN = frozenset(
    {
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
    }
)
_BYTES = frozenset({torch.int8, torch.uint8})


def dense_tensors(path: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, detached; raises InputRefused and names the first that is not dense and plain.

    Refused: sparse, quantised, complex, float8, without data, of overlapping elements, and 8-bit weights.
    `path` is what the file is called in the message.
    """
    faults: dict[str, str] = {}
    made: dict[str, Tensor] = {}
    for name, given in tensors.items():
        tensor = Tensor.detach(given)  # a method of the file's own making must not be called
        fault = _fault(name, tensor)
        if fault is None:
            made[name] = tensor
        else:
            faults[name] = fault
    if faults:
        name, fault = next(iter(faults.items()))
        hints = ["prune the dense floating-point checkpoint, then convert the result"]
        if len(faults) > 1:
            hints.append(f"{counted(len(faults), 'tensor')} cannot be used: {listed(faults)}")
        raise InputRefused(
            f"{shown(path)}: the tensor {shown(name)} is {fault}, which cannot be pruned", hints=hints
        )
    return made


# In this order: the later questions make sense only when the earlier ones are answered with no.
_FAULTS: tuple[tuple[Callable[[Tensor], bool], str], ...] = (
    (lambda tensor: tensor.is_quantized, "a quantised tensor"),
    (lambda tensor: "sparse" in str(tensor.layout), "a sparse tensor"),
    (lambda tensor: tensor.layout is not torch.strided or tensor.is_nested, "not a dense tensor"),
    (lambda tensor: tensor.device.type == "meta", "a tensor without data (meta device)"),
    (lambda tensor: tensor.is_complex(), "a complex tensor"),
    (lambda tensor: str(tensor.dtype).startswith("torch.float8"), "a float8 tensor"),
    (lambda tensor: tensor.dtype not in _PLAIN, "a tensor of a special type"),
    (lambda tensor: overlaps_itself(tensor.shape, tensor.stride()), "a view whose elements overlap"),
)


def _fault(name: str, tensor: Tensor) -> str | None:
    fault = next((words for test, words in _FAULTS if test(tensor)), None)
    if fault is not None:
        return fault
    is_weight = name.rpartition(".")[2] in {"weight", "qweight", "weight_packed", "weight_orig"}
    if tensor.dtype in _BYTES and tensor.dim() > 1 and is_weight:
        return "a quantised weight of 8 bits"
    return None


def overlaps_itself(shape: Iterable[int], stride: Iterable[int]) -> bool:
    """Whether two elements may lie at one place: then no element can be changed alone.

    Dimensions in the order of their strides must each step over all that the smaller ones reach.
    """
    reach = 0
    dimensions = [(step, size) for size, step in zip(shape, stride, strict=True)]
    if any(size == 0 for _, size in dimensions):
        return False
    for step, size in sorted(dimensions):
        if size > 1:
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False


def refuse_nonfinite(path: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputRefused when a tensor holds NaN or infinity, with names and counts."""
    faults = nonfinite(tensors)
    if not faults:
        return
    name, fault = next(iter(faults.items()))
    raise InputRefused(
        f"{shown(path)}: {shown(name)} holds {fault}",
        hints=[
            f"{counted(len(faults), 'tensor')} not finite: {listed(faults)}",
            "the training diverged or the file is damaged; take an earlier checkpoint",
            "to look at it all the same: prunecli inspect --allow-nonfinite",
        ],
    )


def nonfinite(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """What is wrong with each tensor that holds NaN or infinity, in words: "3 NaN of 64 numbers".

    A mask may hold infinities: they mean "never look here".
    """
    found = ((name, _nonfinite(name, tensor)) for name, tensor in tensors.items())
    return {name: fault for name, fault in found if fault is not None}


def _nonfinite(name: str, tensor: Tensor) -> str | None:
    if not tensor.is_floating_point() or not tensor.numel():
        return None
    low, high = torch.aminmax(tensor)  # one pass without a mask in memory; NaN comes through both
    if bool(torch.isfinite(low) & torch.isfinite(high)):
        return None
    nans = int(torch.isnan(tensor).sum())
    infinities = int(torch.isinf(tensor).sum())
    if not nans and "mask" in name.rpartition(".")[2]:
        return None
    words = [f"{nans:,} NaN" if nans else "", f"{infinities:,} infinite" if infinities else ""]
    return f"{' and '.join(filter(None, words))} of {counted(tensor.numel(), 'number')}"
