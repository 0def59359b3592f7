"""What a network takes, and how it is called with it: most take one tensor, some several, some token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[[nn.Module, Sequence[Tensor]], Any]


@dataclass(frozen=True)
class Input:
    """One input without the batch: numbers of the type of the weights, or ids from `least` to `below` - 1."""

    shape: tuple[int, ...]
    below: int | None = None
    least: int = 0


@dataclass(frozen=True)
class Calling:
    """The inputs of a network and how it takes them: by position, or by `names` with `settings` beside them.

    `parts` calls parts of the network only, where the rest depends on values (the boxes of a detector).
    `result` says what of the outcome is the network's output, where inner values come with it.
    """

    inputs: tuple[Input, ...]
    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Run | None = None
    result: Callable[[Any], Any] | None = None

    def run(self, model: nn.Module, inputs: Sequence[Tensor]) -> Any:
        """What the network gives for the inputs, in their order."""
        if self.parts is not None:
            return self.parts(model, inputs)
        args, kwargs = self.arguments(inputs)
        found = model(*args, **kwargs)
        return found if self.result is None else self.result(found)

    def arguments(self, inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
        """The inputs as positional and keyword arguments of the forward."""
        if not self.names:
            return tuple(inputs), dict(self.settings)
        return (), {**dict(zip(self.names, inputs, strict=True)), **self.settings}

    def empty(self, model: nn.Module, *, batch: int = 2) -> tuple[Tensor, ...]:
        """Inputs (batch, *shape) on the meta device."""
        dtype = weights_type(model)
        return tuple(
            torch.empty(
                (batch, *each.shape), dtype=dtype if each.below is None else torch.int64, device="meta"
            )
            for each in self.inputs
        )

    def random(self, generator: torch.Generator, dtype: torch.dtype, *, batch: int) -> tuple[Tensor, ...]:
        """Normal numbers of type `dtype`, and evenly drawn ids, (batch, *shape) on the CPU."""
        return tuple(
            torch.randn((batch, *each.shape), generator=generator, dtype=dtype)
            if each.below is None
            else torch.randint(each.least, each.below, (batch, *each.shape), generator=generator)
            for each in self.inputs
        )


def weights_type(model: nn.Module) -> torch.dtype:
    """The type of the first floating-point weight, float32 where there is none."""
    found = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(found, torch.float32)
