"""What a training step computes in: all of it in the model's own numbers, or the forward pass in 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from prunecli.errors import WrongUse, unknown_name

# To the name of the torch dtype that the forward pass is cast to; None leaves the model as it is.
PRECISIONS: Mapping[str, str | None] = {"float32": None, "bfloat16": "bfloat16", "float16": "float16"}

# float16 needs its loss scaled, and has its fast kernels on CUDA only.
_DEVICES: Mapping[str, tuple[str, ...]] = {"bfloat16": ("cpu", "cuda"), "float16": ("cuda",)}


def check_precision(precision: str, *, device: str) -> None:
    """Raise WrongUse for a precision that is none or that the kind of `device` ("cpu", "cuda:1") lacks."""
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    kind = device.partition(":")[0]
    able = _DEVICES.get(precision, (kind,))
    if kind not in able:
        others = [name for name in PRECISIONS if kind in _DEVICES.get(name, (kind,))]
        raise WrongUse(
            f"{precision} does not train on {kind}",
            hints=[f"it does on: {', '.join(able)}", f"valid on {kind}: {', '.join(others)}"],
        )


class Precision:
    """The forward pass, the backward pass and the step of an optimiser in one precision.

    Weights, gradients and the optimiser's state stay in the model's own numbers; with `bfloat16` and
    `float16` the products of the forward and backward pass are computed in 16 bits (automatic mixed
    precision). float16 has so small a range that gradients vanish in it, so there the loss is scaled up
    and the gradients down again; a step whose gradients overflow is left out and the scale is halved.

    A step is, in this order: `forward()` around the model and the loss, `backward(loss)`, `unscale` if
    the gradients are read (to clip them, say), `step`. Raises WrongUse for a precision that the device lacks.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        check_precision(precision, device=device.type)
        name = PRECISIONS[precision]
        self._kind = device.type
        self._dtype: torch.dtype | None = None if name is None else getattr(torch, name)
        self._scaler = torch.amp.GradScaler(device.type) if self._dtype == torch.float16 else None

    def forward(self) -> AbstractContextManager[object]:
        """What the forward pass runs inside of; a fresh one for every pass."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._kind, dtype=self._dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, a scalar, to the parameters' `.grad`."""
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimiser: torch.optim.Optimizer) -> None:
        """Make the gradients true ones, at most once before each `step`; which does it itself otherwise."""
        if self._scaler is not None:
            self._scaler.unscale_(optimiser)

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """One step of the optimiser, unless gradients in float16 overflowed."""
        if self._scaler is None:
            optimiser.step()
            return
        self._scaler.step(optimiser)
        self._scaler.update()

    def state(self) -> dict[str, float]:
        """What a run that is resumed needs: the scale of float16 and how long it has held, else nothing."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a `state()` of the same precision, which may have been through JSON."""
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state))
