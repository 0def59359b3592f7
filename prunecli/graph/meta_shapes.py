"""What operations give on the meta device, remembered: the same shapes give the same shapes.

torch works most of them out in Python, a tenth of a millisecond each, and a network repeats itself: block by
block, in training as in inference, and cut as it was whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Made = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
REMEMBERED = 50_000

# Of floating-point numbers: the result has the input's shape, type and layout.
ELEMENT_WISE = frozenset(
    "add sub mul div relu hardtanh hardswish hardsigmoid silu gelu sigmoid tanh mish".split()  # noqa: SIM905
)
_known: dict[Any, tuple[bool, tuple[Made, ...]]] = {}


def run_on_shapes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`func(*args, **kwargs)`; where all tensors are on the meta device, made from what is remembered."""
    alike = _like_its_input(func, args, kwargs)
    if alike is not None:
        return alike
    if not _makes_new_tensors(func):
        return func(*args, **kwargs)
    parts: list[Any] = [func]
    if not (_describe(args, parts) and (not kwargs or _describe(tuple(kwargs.items()), parts))):
        return func(*args, **kwargs)
    key = tuple(parts)
    known = _known.get(key)
    if known is None:
        own = OWN.get(func)
        found = own(*args) if own is not None and not kwargs else None
        result = func(*args, **kwargs) if found is None else found
        single = isinstance(result, Tensor)
        made = (result,) if single else result
        if all(isinstance(each, Tensor) and each.is_meta for each in made):
            if len(_known) >= REMEMBERED:
                _known.clear()
            _known[key] = single, tuple((tuple(x.shape), x.stride(), x.dtype) for x in made)
        return result
    single, shapes = known
    new = tuple(
        torch.empty_strided(shape, stride, dtype=dtype, device="meta") for shape, stride, dtype in shapes
    )
    return new[0] if single else new


def _like_its_input(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The result of an element-wise operation on tensors that agree in everything; None for all else."""
    in_place = _element_wise(func)
    if in_place is None or kwargs:
        return None
    tensors = [each for each in args if isinstance(each, Tensor)]
    first = tensors[0] if tensors else None
    if first is None or first is not args[0] or not first.is_meta or not first.is_floating_point():
        return None
    for other in tensors[1:]:
        if other.shape != first.shape or other.dtype != first.dtype or not other.is_meta:
            return None
        if not in_place and other.stride() != first.stride():
            return None
    return first if in_place else _like(first)


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
    return _like(x), statistics, _like(statistics)


def _like(x: Tensor) -> Tensor:
    """An empty tensor of the same shape and layout, where that is dense; torch works it out in Python."""
    if x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    return torch.empty_like(x)


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


OWN: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: _batch_norm,
    torch.ops.aten.convolution.default: _convolution,
    torch.ops.aten.mean.dim: _mean,
    torch.ops.aten.addmm.default: _product_with_bias,
}


class OnShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs a network on the meta device by `run_on_shapes`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: the default imports all of torch's compiler, more than a second, on the first operation."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run_on_shapes(func, args, kwargs or {})


@cache
def _makes_new_tensors(func: Any) -> bool:
    """Whether an operation changes none of its inputs, and gives tensors that share nothing with them."""
    schema = func._schema
    return (
        func.namespace == "aten"
        and not schema.is_mutable
        and bool(schema.returns)
        and all(str(each.type) == "Tensor" and each.alias_info is None for each in schema.returns)
    )


def _describe(tree: tuple[Any, ...] | list[Any], parts: list[Any]) -> bool:
    """Add what the shapes of a result depend on; False where a value may count or cannot be compared."""
    parts.append(len(tree))
    for leaf in tree:
        if isinstance(leaf, Tensor):
            if not leaf.is_meta or leaf.layout != torch.strided:
                return False
            parts += (leaf.shape, leaf.stride(), leaf.dtype)
        elif isinstance(leaf, (list, tuple)):
            if not _describe(leaf, parts):
                return False
        elif leaf is None or isinstance(leaf, (int, float, str, torch.dtype, torch.device, torch.layout)):
            parts += (type(leaf), leaf)
        elif isinstance(leaf, torch.memory_format):
            parts.append(leaf)
        else:
            return False
    return True
