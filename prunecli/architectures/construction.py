"""From an architecture to an empty network, on the meta device or on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prunecli.architectures.architecture import Architecture
from prunecli.architectures.factory import trusted_factory
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.dispatch import LightDispatchMode

Device = Literal["meta", "cpu"]

aten = torch.ops.aten
RANDOM_FILLS = frozenset(
    {aten.normal_.default, aten.uniform_.default, aten.erfinv_.default, aten.clamp_.default}
)


class LeaveUninitialised(LightDispatchMode):
    """Leaves a parameter as it is allocated where it would be filled with random numbers.

    Only parameters are left so: buffers and constants that a constructor computes keep their values,
    because a checkpoint need not hold them.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        if func in RANDOM_FILLS and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


def build(architecture: Architecture, *, device: Device = "cpu", initialise: bool = True) -> nn.Module:
    """The empty network in eval mode; nothing is downloaded.

    On "meta" there are shapes and no values. On "cpu" the weights are random; with `initialise` off,
    parameters that would be drawn at random stay unallocated memory, for a caller that loads all of them.
    Raises WrongUse for arguments that the builder does not take, InputRefused for an unknown name or a
    package that is missing.
    """
    make = _maker(architecture)
    if device == "meta":
        return _on_meta(make).eval()
    if initialise:
        return make().eval()
    with LeaveUninitialised():
        return make().eval()


def example_input(
    architecture: Architecture, *, batch: int = 1, device: str = "cpu", seed: int = 0
) -> Tensor:
    """A random input: (batch, *input_shape) floats, or token ids 0 and 1 where that has one dimension."""
    shape = (batch, *architecture.input_shape)
    if device == "meta":
        dtype = torch.int64 if len(architecture.input_shape) == 1 else torch.get_default_dtype()
        return torch.empty(shape, dtype=dtype, device="meta")
    generator = torch.Generator().manual_seed(seed)
    if len(architecture.input_shape) == 1:
        return torch.randint(0, 2, shape, generator=generator).to(device)
    return torch.randn(shape, generator=generator).to(device)


def _maker(architecture: Architecture) -> Callable[[], nn.Module]:
    if architecture.source == "file":
        return trusted_factory(architecture)
    source = PROVIDERS[architecture.source]
    return lambda: source.build(architecture.short_name, architecture.arguments)


def _on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """Built on meta, or on the CPU and moved where the constructor reads values (RegNet's widths)."""
    try:
        with torch.device("meta"), LeaveUninitialised():
            return make()
    except (RuntimeError, NotImplementedError):
        with torch.device("cpu"), LeaveUninitialised():
            return make().to("meta")
