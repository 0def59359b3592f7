"""The modules of a network as the Python that makes them, under the names that they have."""

from __future__ import annotations

import ast
import inspect
import json
import keyword
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prunecli.exporters.python_source.expressions import NotPrintable, literal

if TYPE_CHECKING:
    from torch import Tensor, nn

INDENT = "    "


def path_expression(path: str) -> str:
    """`layer1.0.conv1` as `self.layer1[0].conv1`."""
    return "self" + "".join(_step(part) for part in path.split("."))


def _step(part: str) -> str:
    if part.isdigit():
        return f"[{part}]"
    return f".{part}" if _is_name(part) else f"[{part!r}]"


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def constructor(module: nn.Module) -> str | None:
    """What makes a standard module of these sizes, `nn.Conv2d(3, 8, …)`; None where nothing does.

    The module's own description, or its constructor with the attributes of the same names, is carried out
    and must give a module of the same attributes and the same tensors.
    """
    from torch import nn

    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind or isinstance(
        module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    ):
        return None
    for expression in _candidates(module):
        try:
            made = _made(kind, expression)
        except Exception:  # a description that is no constructor, or a value that it refuses
            continue
        if _facts(made) == _facts(module):
            return expression
    return None


def _made(kind: Any, expression: str) -> nn.Module:
    """A module by a call whose arguments are literals; raises for anything else."""
    call = ast.parse(expression, mode="eval").body
    if not isinstance(call, ast.Call):
        raise TypeError(expression)
    args = [ast.literal_eval(each) for each in call.args]
    made: nn.Module = kind(
        *args, **{each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
    )
    return made


def _candidates(module: nn.Module) -> Iterator[str]:
    """Its constructor with what is not left at its default, then how the module describes itself."""
    for shorter in (True, False):
        given = _arguments(module, shorter=shorter)
        if given is not None:
            yield f"nn.{type(module).__name__}({', '.join(given)})"
    described = repr(module)
    if "\n" not in described:
        yield f"nn.{described}"


def _arguments(module: nn.Module, *, shorter: bool) -> list[str] | None:
    """The arguments that are attributes of the same names; None where one is no plain value.

    `shorter` writes 3 for (3, 3): most constructors take either.
    """
    given = []
    for each in list(inspect.signature(type(module).__init__).parameters.values())[1:]:
        value = getattr(module, each.name, each.default)
        if each.name in {"device", "dtype"} or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            continue
        if each.name == "bias" and not isinstance(value, bool):
            value = value is not None or getattr(module, "in_proj_bias", None) is not None
        if shorter and isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int):
            value = value[0]
        if each.default is not each.empty and value == each.default:
            continue
        try:
            text = literal(value, lambda _: None)
        except NotPrintable:
            return None
        given.append(text if each.default is each.empty else f"{each.name}={text}")
    return given


def _facts(module: nn.Module) -> Any:
    """Sizes of all tensors, and the plain attributes of all modules."""
    plain = (bool, int, float, str, tuple, type(None))
    attributes = [
        {
            name: value
            for name, value in vars(each).items()
            if isinstance(value, plain) and not name.startswith("_") and name != "training"
        }
        for each in module.modules()
    ]
    tensors = [(name, tuple(each.shape)) for name, each in module.state_dict().items()]
    return [type(each).__name__ for each in module.modules()], attributes, tensors


class Tree:
    """The lines of `__init__`: every part of the network, under its name.

    `called` are the paths of modules that the forward pass calls; others are there when they hold tensors.
    """

    def __init__(self, model: nn.Module, *, called: set[str]) -> None:
        self._called = called
        self._first: dict[int, str] = {}
        self._ties: list[str] = []
        self.lines = [*self._root(model), *self._ties]

    def _root(self, model: nn.Module) -> list[str]:
        lines = []
        for name, value in self._parts(model, ""):
            text = self._expression(value, name, depth=0)
            if text is None:
                continue
            lines.append(_statement(name, text, persistent=name not in model._non_persistent_buffers_set))
        return lines

    def _parts(self, module: nn.Module, path: str) -> Iterator[tuple[str, Any]]:
        """Parameters, buffers and modules in it by name."""
        yield from ((name, each) for name, each in module._parameters.items() if each is not None)
        yield from ((name, each) for name, each in module._buffers.items() if each is not None)
        yield from ((name, each) for name, each in module._modules.items() if each is not None)

    def _expression(self, value: Any, path: str, *, depth: int) -> str | None:
        from torch import Tensor

        if id(value) in self._first:
            self._ties.append(f"{path_expression(path)} = {path_expression(self._first[id(value)])}")
            return None if not isinstance(value, Tensor) else _tensor(value)
        self._first[id(value)] = path
        return _tensor(value) if isinstance(value, Tensor) else self._module(value, path, depth=depth)

    def _module(self, module: nn.Module, path: str, *, depth: int) -> str | None:
        inside = any(each == path or each.startswith(f"{path}.") for each in self._called)
        if not inside and not module.state_dict() and not list(module.buffers()):
            return None
        made = constructor(module)
        if made is not None:
            self._note_tensors(module, path)
            return made
        if path in self._called:
            raise NotPrintable(f"{path} is a {type(module).__name__} that no constructor of torch makes")
        return self._container(module, path, depth=depth)

    def _note_tensors(self, module: nn.Module, path: str) -> None:
        """Remember a standard module's tensors, so that weights that are tied stay so."""
        for name, tensor in module.named_parameters():
            where = f"{path}.{name}"
            if id(tensor) in self._first:
                self._ties.append(f"{path_expression(where)} = {path_expression(self._first[id(tensor)])}")
            else:
                self._first[id(tensor)] = where

    def _container(self, module: nn.Module, path: str, *, depth: int) -> str:
        space = INDENT * (depth + 1)
        lines = []
        for name, value in self._parts(module, path):
            text = self._expression(value, f"{path}.{name}", depth=depth + 1)
            if text is not None:
                lines.append(f"{space}{json.dumps(name)}: {text},")
        unsaved = sorted(module._non_persistent_buffers_set & module._buffers.keys())
        end = f", unsaved={unsaved!r}" if unsaved else ""
        return "\n".join(["Parts({", *lines, f"{INDENT * depth}}}{end})"])


def constant_lines(constants: Mapping[str, Tensor]) -> list[str]:
    """Statements that register tensors which no state dict holds."""
    return [_statement(name, _tensor(value), persistent=False) for name, value in constants.items()]


def _statement(name: str, text: str, *, persistent: bool) -> str:
    if text.startswith("torch.zeros"):
        return f"self.register_buffer({name!r}, {text}{'' if persistent else ', persistent=False'})"
    return f"self.{name} = {text}" if _is_name(name) else f"self.add_module({name!r}, {text})"


def _tensor(tensor: Tensor) -> str:
    """A parameter or buffer of these sizes; its values come from the weights' file."""
    from torch import nn

    shape = tuple(tensor.shape)
    if isinstance(tensor, nn.Parameter):
        return f"nn.Parameter(torch.empty({shape}))"
    return f"torch.zeros({shape}, dtype={tensor.dtype})"
