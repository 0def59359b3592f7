"""The name, the arguments and the input shape that make an empty network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prunecli.errors import InputRefused


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network without its weights.

    `name` is "source/name" ("cifar/resnet20", "file/net.py:factory"), `arguments` are JSON values for its
    builder, `input_shape` is one input's shape without the batch ((3, 32, 32); (128,) for token ids).
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] = (3, 224, 224)

    @property
    def source(self) -> str:
        """Where the network's code comes from ("cifar", "torchvision", "timm", "file")."""
        return self.name.partition("/")[0]

    @property
    def short_name(self) -> str:
        """The name inside its source."""
        return self.name.partition("/")[2]

    def document(self) -> dict[str, Any]:
        """The JSON form, read back by `from_document`."""
        return {"name": self.name, "arguments": dict(self.arguments), "input_shape": list(self.input_shape)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Architecture:
        """The architecture that `document()` wrote; raises InputRefused for anything else."""
        try:
            name, arguments = str(document["name"]), dict(document["arguments"])
            shape = tuple(int(size) for size in document["input_shape"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputRefused(f"not the description of an architecture: {error!r}") from None
        if "/" not in name or not shape or min(shape) < 1:
            raise InputRefused(f"not the description of an architecture: {name!r} with input shape {shape}")
        return cls(name, arguments, shape)
