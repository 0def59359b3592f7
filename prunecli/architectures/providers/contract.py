"""What a source of architectures offers, and the door through which it joins.

A member registers one class; its short names then appear in `catalog architectures` as "source/name",
are built by `build`, and are recognised by their tensors. Packages of third parties use the same
decorator behind the entry-point group `prunecli.architectures`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from prunecli.errors import InputRefused, WrongUse
from prunecli.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Settled = tuple[dict[str, Any], tuple[int, ...]]


class Provider(ABC):
    """A source of architectures; the module that defines one must not import torch.

    `class_argument` and `channel_argument` are the builder's words for the number of classes and of input
    channels, None where it has none.
    """

    source: ClassVar[str] = ""
    class_argument: ClassVar[str | None] = "num_classes"
    channel_argument: ClassVar[str | None] = None

    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """Short name → one line with its source, listed without loading torch."""

    @abstractmethod
    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The network, on the current default device, with no pretrained weights."""

    def has(self, name: str) -> bool:
        """Whether `name` can be built; may import the source where `names` is only what was indexed."""
        return name in self.names()

    def input_shape(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
        """One input's shape without the batch, where the user gives none."""
        return (3, 224, 224)

    def defaults(self, name: str) -> dict[str, Any]:
        """The arguments that are recorded although nobody gave them."""
        return {}

    def variants(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Argument sets that give other tensors, for identification; the first is the usual one."""
        return ({},)

    def settle(self, name: str, arguments: Mapping[str, Any], input_shape: Sequence[int] | None) -> Settled:
        """The arguments with their defaults, and the input shape; the one fills gaps in the other.

        Raises WrongUse when the given input shape and channel argument contradict each other.
        """
        settled = {**self.defaults(name), **arguments}
        word = self.channel_argument
        if input_shape is None:
            return settled, self.input_shape(name, settled)
        shape = tuple(input_shape)
        if word is not None and len(shape) > 1:
            if word in arguments and arguments[word] != shape[0]:
                raise WrongUse(
                    f"{word} is {arguments[word]}, but the input shape {shape} has {shape[0]} channels"
                )
            if shape[0] != self.input_shape(name, settled)[0]:
                settled[word] = shape[0]
        return settled, shape


PROVIDERS: Registry[Provider] = Registry(
    "architecture source", package="prunecli.architectures.providers", group="prunecli.architectures"
)


def provider(name: str, *, source: str) -> Callable[[type[Provider]], type[Provider]]:
    """Register a Provider class under `name`; `source` says where its networks come from."""

    def register(cls: type[Provider]) -> type[Provider]:
        cls.source = source
        PROVIDERS.register(name, cls())
        return cls

    return register


def imported(package: str, *, extra: str) -> ModuleType:
    """The optional package, imported now; raises InputRefused with the line that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package.partition(".")[0]:
            raise
        raise InputRefused(
            f"{package} is not installed", hints=[f'install it with: pip install "prunecli[{extra}]"']
        ) from None


def checked_call(
    name: str,
    builder: Callable[..., nn.Module],
    fixed: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    refused: Sequence[str] = (),
) -> nn.Module:
    """`builder` called with both sets of arguments, its complaints told as WrongUse.

    `refused` are words that would load weights or change what is built; a checkpoint may not bring them.
    """
    for word in arguments:
        if word in refused or word in fixed:
            raise WrongUse(
                f"{name} is built without {word!r}", hints=["weights come from the checkpoint only"]
            )
    try:
        return builder(**fixed, **arguments)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise WrongUse(f"{name} does not take these arguments: {error}") from error
