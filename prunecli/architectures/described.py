"""Networks that a file describes: of known sources, as large as its tensors say, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from prunecli.architectures.architecture import Architecture
from prunecli.architectures.construction import build
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.checkpoints import shown
from prunecli.dispatch import LightDispatchMode
from prunecli.errors import InputRefused, PrunecliError

MOST_ARGUMENTS = 10_000
LARGEST_ARGUMENT = 1 << 20
_SPARE_NUMBERS = 1 << 20  # tables and constants that no checkpoint holds
_SPARE_TENSORS = 4000
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_aten = torch.ops.aten
_COUNTED = frozenset({_aten.arange, _aten.linspace, _aten.logspace, _aten.eye})
_SHAPED = frozenset(
    {
        _aten.empty,
        _aten.empty_strided,
        _aten.full,
        _aten.ones,
        _aten.rand,
        _aten.randint,
        _aten.randn,
        _aten.zeros,
    }
)
_HINTS = ("its document was changed, or a package of another version wrote it",)


@dataclass(frozen=True)
class Extent:
    """How large a network may be: its tensors, the numbers in all of them, and those of the largest one."""

    tensors: int
    numbers: int
    largest: int

    @classmethod
    def of(cls, shapes: Sequence[Sequence[int]]) -> Extent:
        """The extent of tensors of these shapes."""
        sizes = [math.prod(shape) for shape in shapes]
        return cls(len(sizes), sum(sizes), max(sizes, default=0))


def build_described(architecture: Architecture, shapes: Sequence[Sequence[int]]) -> nn.Module:
    """The empty network that a file describes, in eval mode, its parameters not drawn.

    `shapes` are those that the file's tensors had before anything was cut from them: a network of far more
    or larger tensors is refused before memory is asked for. The default device may be "meta": a
    constructor that reads values then raises RuntimeError or NotImplementedError. Everything else that
    fails is an InputRefused.
    """
    if architecture.source == "file":
        return build(architecture, initialise=False)
    _check_name(architecture)
    _check_arguments(architecture.arguments)
    try:
        with Allowance(Extent.of(shapes)):
            return build(architecture, initialise=False)
    except PrunecliError as error:
        raise _refused(error.message, *error.hints) from error
    except Exception as error:
        if isinstance(error, (RuntimeError, NotImplementedError)) and _on_meta():
            raise
        raise _refused(f"{type(error).__name__}: {shown(error)}", *_HINTS) from error


class Allowance(LightDispatchMode):
    """Refuses tensors that a network of the given extent has no use for, before they are allocated."""

    def __init__(self, extent: Extent) -> None:
        super().__init__()
        self._largest = 4 * extent.largest + _SPARE_NUMBERS
        self._numbers = 8 * extent.numbers + 16 * _SPARE_NUMBERS
        self._tensors = 16 * extent.tensors + _SPARE_TENSORS

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        size = _new_numbers(func.overloadpacket, args)
        if size is not None:
            self._tensors -= 1
            self._numbers -= size
            if size > self._largest or self._numbers < 0 or self._tensors < 0:
                raise InputRefused("it is far larger than the tensors beside it")
        return func(*args, **(kwargs or {}))


def _new_numbers(operator: object, args: tuple[Any, ...]) -> int | None:
    """How many numbers an operator allocates that makes a tensor from sizes alone, None for another one."""
    if operator in _SHAPED:
        shape = next((value for value in args if isinstance(value, (list, tuple))), ())
        return math.prod(int(size) for size in shape)
    if operator in _COUNTED:
        return int(max((abs(value) for value in args if isinstance(value, (int, float))), default=0))
    return None


def _on_meta() -> bool:
    return torch.get_default_device().type == "meta"


def _check_name(architecture: Architecture) -> None:
    """Refuse a source or a name that is not known: timm would look for some names on a hub."""
    if architecture.source not in PROVIDERS:
        raise _refused(f"unknown architecture source {shown(repr(architecture.source))}")
    provider, name = PROVIDERS[architecture.source], architecture.short_name
    if name not in provider.names() and not (_PLAIN_NAME.fullmatch(name) and provider.has(name)):
        raise _refused(f"unknown architecture {shown(repr(architecture.name))}")


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that no builder needs: long lists, giant numbers, names of hidden fields."""
    values = list(islice(_values(arguments), MOST_ARGUMENTS + 1))
    if len(values) > MOST_ARGUMENTS:
        raise _refused(f"more than {MOST_ARGUMENTS:,} arguments")
    for word, value in values:
        if word.startswith("_"):
            raise _refused(f"no builder takes {shown(repr(word))} from a file")
        if isinstance(value, int) and abs(value) > LARGEST_ARGUMENT:
            raise _refused(f"{shown(word)} is {shown(value)}, at most {LARGEST_ARGUMENT:,} is believed")


def _values(arguments: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Every value with the word it stands under, level by level."""
    level: list[tuple[str, object]] = [(str(word), value) for word, value in arguments.items()]
    while level:
        yield from level
        level = [
            (str(inner), value)
            for word, held in level
            for inner, value in (
                held.items()
                if isinstance(held, Mapping)
                else ((word, value) for value in held)
                if isinstance(held, list)
                else ()
            )
        ]


def _refused(why: str, *hints: str) -> InputRefused:
    return InputRefused(f"the checkpoint describes a network that cannot be built: {why}", hints=hints)
