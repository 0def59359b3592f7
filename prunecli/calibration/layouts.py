"""Keep a fault of torch out of the gradients of single images.

On the CPU the backward pass of a batch norm reads the wrong numbers when there is one image and its input and
the gradient at its output lie differently in memory, as where tokens are made of a feature map (torch 2.13).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from prunecli.calibration.following import subject_of
from prunecli.calibration.observing import Losses, Objective
from prunecli.calibration.places import function_name

NORMS = {"batch_norm", "instance_norm"}


class _MatchedLayouts(TorchFunctionMode):
    """Lays the gradient at a batch norm's output as its input lies."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function, and wait for the gradient of a batch norm."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if function_name(func) in NORMS and isinstance(result, Tensor) and result.requires_grad:
            with torch._C.DisableTorchFunction():  # what else looks on need not see this
                strides = torch.empty_like(subject_of(args, kwargs), device="meta").stride()
                result.register_hook(partial(_laid_out, strides))  # type: ignore[no-untyped-call]
        return result


def _laid_out(strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    if gradient.stride() == strides:
        return gradient
    return torch.empty_strided(gradient.shape, strides, dtype=gradient.dtype, device=gradient.device).copy_(
        gradient
    )


def with_matched_layouts(objective: Objective) -> Objective:
    """The same objective, whose gradients are right for batches of one image too."""

    def guarded(model: nn.Module, images: Tensor, labels: Tensor) -> Losses:
        if len(images) > 1:
            return objective(model, images, labels)
        with _MatchedLayouts():
            return objective(model, images, labels)

    return guarded
