"""Values and functions of a traced graph as Python expressions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

INFIX: Mapping[Callable[..., Any], str] = {
    operator.add: "+",
    operator.iadd: "+",
    operator.sub: "-",
    operator.isub: "-",
    operator.mul: "*",
    operator.imul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.and_: "&",
    operator.or_: "|",
}
# Operators of ATen with the arguments of an infix operator, or of a function that more people know.
ATEN_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@"}
ATEN_FUNCTIONS = {
    name: f"F.{name}"
    for name in (
        *("conv1d", "conv2d", "conv3d", "linear", "relu", "silu", "gelu", "hardtanh", "softmax"),
        *("adaptive_avg_pool2d", "scaled_dot_product_attention"),
    )
} | {
    name: f"torch.{name}"
    for name in ("flatten", "cat", "sigmoid", "tanh", "permute", "transpose", "unsqueeze")
}
ORIGINS: Mapping[str | None, str] = {
    "_operator": "operator",
    "operator": "operator",
    "math": "math",
    "builtins": "",
}
DEVICE = "device"


class NotPrintable(Exception):
    """Something in a graph that plain Python with torch does not express."""


def literal(value: Any, name_of: Callable[[Any], str | None]) -> str:
    """A value as Python; `name_of` gives the expression of a node of the graph, None for anything else."""
    named = name_of(value)
    if named is not None:
        return named
    if isinstance(value, Mapping):
        items = (f"{key!r}: {literal(each, name_of)}" for key, each in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(literal(each, name_of) for each in value)
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, slice):
        parts = (literal(each, name_of) for each in (value.start, value.stop, value.step))
        return f"slice({', '.join(parts)})"
    return _constant(value)


def _constant(value: Any) -> str:
    import torch

    if value is Ellipsis:
        return "..."
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, torch.device):
        return DEVICE  # that of the input: the network may have been moved
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return str(value)
    raise NotPrintable(f"a value of type {type(value).__name__}")


def function_name(target: Any) -> str:
    """The name by which a written file calls a function; raises NotPrintable for one of another package."""
    import torch

    if isinstance(target, torch._ops.OpOverload):
        if target.namespace != "aten":
            raise NotPrintable(f"the operator {target}")
        return f"aten.{target._schema.name.partition('::')[2]}"
    module, name = getattr(target, "__module__", None), str(getattr(target, "__name__", target))
    for short, place in (("F", torch.nn.functional), ("torch", torch)):
        if getattr(place, name, None) is target:
            return f"{short}.{name}"
    if module not in ORIGINS:
        raise NotPrintable(f"the function {module}.{name}")
    return f"{ORIGINS[module]}.{name}" if ORIGINS[module] else name


def call(target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name_of: Any) -> str:
    """A call of a function as an expression."""
    given = [literal(each, name_of) for each in args]
    named = [f"{name}={literal(each, name_of)}" for name, each in kwargs.items()]
    if target in INFIX and len(given) == 2:
        return f"{given[0]} {INFIX[target]} {given[1]}"
    if target is operator.getitem:
        return f"{given[0]}[{_index(args[1], name_of)}]"
    if target is getattr:
        return f"{given[0]}.{args[1]}"
    name = function_name(target)
    if name.startswith("aten.") and not named:
        return _of_aten(name.removeprefix("aten."), given)
    return f"{_known(name)}({', '.join((*given, *named))})"


def _of_aten(name: str, given: list[str]) -> str:
    if name.startswith("sym_size"):
        return f"{given[0]}.shape[{given[1]}]"
    if name in ATEN_INFIX and len(given) == 2:
        return f"{given[0]} {ATEN_INFIX[name]} {given[1]}"
    return f"{_known('aten.' + name)}({', '.join(given)})"


def _known(name: str) -> str:
    return ATEN_FUNCTIONS.get(name.removeprefix("aten."), name) if name.startswith("aten.") else name


def _index(value: Any, name_of: Any) -> str:
    """What stands between brackets: slices with colons."""
    if isinstance(value, tuple) and value:
        return ", ".join(_index(each, name_of) for each in value) + ("," if len(value) == 1 else "")
    if isinstance(value, slice):
        parts = [
            "" if each is None else literal(each, name_of) for each in (value.start, value.stop, value.step)
        ]
        return ":".join(parts if parts[2] else parts[:2])
    return literal(value, name_of)
