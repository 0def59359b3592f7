"""Shapes of the commonest operations on the meta device, worked out here.

torch's own kernels for some of them load its compiler or a computer algebra, which takes longer than tracing
a network. A formula covers the plain case and gives None for every other; torch's kernel then says, and
raises what there is to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

# Of floating-point numbers: the result has the input's shape, type and layout.
ELEMENT_WISE = frozenset(
    "add sub mul div relu hardtanh hardswish hardsigmoid silu gelu sigmoid tanh mish".split()  # noqa: SIM905
)


def like_its_input(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The result of an element-wise operation on tensors that agree, or are broadcast; None for all else."""
    in_place = _element_wise(func)
    if in_place is None or kwargs or not isinstance(args[0], Tensor):
        return None
    first, tensors = args[0], [each for each in args if isinstance(each, Tensor)]
    alike = all(each.shape == first.shape for each in tensors)
    other = any(not each.is_meta or each.dtype != first.dtype for each in tensors)
    if not first.is_floating_point() or other or (in_place and not alike):
        return None
    if in_place:
        return first
    if alike and all(each.stride() == first.stride() for each in tensors):
        return empty_like(first)
    if not all(each.is_contiguous() for each in tensors):
        return None
    sizes = _broadcast([each.shape for each in tensors])
    return None if sizes is None else first.new_empty(sizes)


def _broadcast(shapes: Sequence[Sequence[int]]) -> list[int] | None:
    sizes = []
    for meeting in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        found = {size for size in meeting if size != 1}
        if len(found) > 1:
            return None
        sizes.append(found.pop() if found else 1)
    return sizes[::-1]


@cache
def _element_wise(func: Any) -> bool | None:
    """None for an operation that is not known as element-wise, else whether it works in place."""
    name = str(func.overloadpacket).removeprefix("aten.")
    if func.namespace != "aten" or name.rstrip("_") not in ELEMENT_WISE:
        return None
    return name.endswith("_")


def _batch_norm(x: Tensor, weight: Tensor | None, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's meta kernel gives after a millisecond: the shape of x, and statistics (C,) twice."""
    half = x.dtype in {torch.float16, torch.bfloat16}
    statistics = x.new_empty((x.shape[1],), dtype=torch.float32 if half else x.dtype)
    return empty_like(x), statistics, empty_like(statistics)


def empty_like(x: Tensor) -> Tensor:
    """An empty meta tensor of the same shape and layout, which torch works out in Python."""
    if _is_dense(x):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    return torch.empty_like(x, device="meta")


def _is_dense(x: Tensor) -> bool:
    """Whether the elements lie one after the other, in whatever order of dimensions."""
    if x.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _product_with_bias(bias: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """A bias (N,) plus a matrix product (M, K) × (K, N) that fit; torch's kernel loads the compiler."""
    if left.shape[1] != right.shape[0] or bias.shape != right.shape[1:] or left.dtype != right.dtype:
        return None
    return left.new_empty((left.shape[0], right.shape[1]))


def _convolution(  # noqa: PLR0917 - the operation's own arguments
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    extra: list[int],
    groups: int,
) -> Tensor | None:
    """The output (N, O, …) of a convolution that fits, all in rows; torch's kernel loads sympy."""
    into, out = weight.shape[1] * groups, weight.shape[0]
    if transposed:
        into, out = out, into
    plain = x.is_contiguous() and weight.is_contiguous() and x.dim() == weight.dim()
    if not plain or x.shape[1] != into or x.dtype != weight.dtype or (x.shape[0] == 0):
        return None
    count = x.dim() - 2
    wide = [each * count if len(each) == 1 else each for each in (stride, padding, dilation, extra)]
    sizes = []
    for d, (step, pad, gap, more) in enumerate(zip(*wide, strict=True)):
        size, taps = x.shape[d + 2], gap * (weight.shape[d + 2] - 1)
        if transposed:
            sizes.append((size - 1) * step - 2 * pad + taps + more + 1)
        else:
            sizes.append((size + 2 * pad - taps - 1) // step + 1)
    if min(sizes, default=1) < 1:
        return None
    return x.new_empty((x.shape[0], out, *sizes))


def _mean(x: Tensor, dims: list[int] | None, keep: bool = False) -> Tensor | None:
    """The mean over some dimensions of a tensor in rows; torch's kernel loads the compiler."""
    if not dims or not x.is_contiguous() or not x.is_floating_point():
        return None
    gone = {dim % x.dim() for dim in dims}
    sizes = [1 if d in gone else size for d, size in enumerate(x.shape) if keep or d not in gone]
    return x.new_empty(sizes)


def _layer_norm(
    x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """The input's shape, and mean and deviation of every row."""
    count = len(shape)
    if list(x.shape[x.dim() - count :]) != list(shape) or x.dtype not in {torch.float32, torch.float64}:
        return None
    if any(each is not None and list(each.shape) != list(shape) for each in (weight, bias)):
        return None
    rows = (*x.shape[: x.dim() - count], *[1] * count)
    return x.new_empty(x.shape), x.new_empty(rows), x.new_empty(rows)


def _joined(tensors: list[Tensor], dim: int = 0) -> Tensor | None:
    """Tensors joined along a dimension in which alone they differ."""
    first = tensors[0]
    dim %= max(1, first.dim())
    same = [*first.shape[:dim], *first.shape[dim + 1 :]]
    for each in tensors:
        other = [*each.shape[:dim], *each.shape[dim + 1 :]]
        plain = each.is_contiguous() or each.dim() < 4  # pictures keep the layout that they have in common
        if each.dim() != first.dim() or other != same or each.dtype != first.dtype or not plain:
            return None
    sizes = list(first.shape)
    sizes[dim] = sum(each.shape[dim] for each in tensors)
    return first.new_empty(sizes)


def _largest(  # noqa: PLR0917 - the operation's own arguments
    x: Tensor,
    kernel: list[int],
    stride: list[int] | None = None,
    padding: list[int] | None = None,
    dilation: list[int] | None = None,
    ceil: bool = False,
) -> tuple[Tensor, Tensor] | None:
    """The largest of windows of pictures in rows (N, C, H, W), and where they lie."""
    if x.dim() != 4 or not x.is_contiguous() or ceil or len(kernel) != 2:
        return None
    steps, pads, gaps = stride or kernel, padding or [0, 0], dilation or [1, 1]
    wide = [each * 2 if len(each) == 1 else each for each in (list(steps), list(pads), list(gaps))]
    sizes = [
        (x.shape[d + 2] + 2 * pad - gap * (kernel[d] - 1) - 1) // step + 1
        for d, (step, pad, gap) in enumerate(zip(*wide, strict=True))
    ]
    if min(sizes) < 1 or any(2 * pad > size for pad, size in zip(wide[1], kernel, strict=True)):
        return None
    shape = (*x.shape[:2], *sizes)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


def _average(
    x: Tensor,
    kernel: list[int],
    stride: list[int] | None = None,
    padding: list[int] | None = None,
    ceil: bool = False,
    *_: object,
) -> Tensor | None:
    """The average of windows, which are those of the largest."""
    found = _largest(x, kernel, stride, padding, None, ceil)
    return None if found is None else found[0]


FORMULAS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: _batch_norm,
    torch.ops.aten.native_layer_norm.default: _layer_norm,
    torch.ops.aten.convolution.default: _convolution,
    torch.ops.aten.mean.dim: _mean,
    torch.ops.aten.addmm.default: _product_with_bias,
    torch.ops.aten.cat.default: _joined,
    torch.ops.aten.max_pool2d_with_indices.default: _largest,
    torch.ops.aten.avg_pool2d.default: _average,
}
