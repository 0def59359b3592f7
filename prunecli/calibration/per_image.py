"""The gradient at a layer's weight image by image, which a backward pass gives only as a sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from prunecli.calibration.observing import LayerCall


def products(left: Tensor, right: Tensor) -> Tensor:
    """Σ_p left · right: (B, F, P) and (B, F, P) → (B, F)."""
    # A batched product of rows needs no memory for what is summed, but only of rows that lie in one piece.
    if left.is_contiguous() and right.is_contiguous():
        return torch.einsum("bfp,bfp->bf", left, right)
    return (left * right).sum(dim=2)


def weight_gradients(call: LayerCall, weight: Tensor) -> Iterator[Tensor]:
    """∂L_b/∂W of this call for one image b after the other, in the shape of the weight.

    A loop over images is exact for every stride, padding, dilation and number of groups, and costs about as
    much as the gradient of their sum.
    """
    if call.inputs is None:
        raise ValueError("the observer does not say that it reads inputs")
    inputs = call.inputs.reshape(call.images, -1, *call.inputs.shape[1:])
    gradients = call.gradient.reshape(call.images, -1, *call.gradient.shape[1:])
    if call.function == "linear":
        for read, slope in zip(inputs, gradients, strict=True):
            yield slope.reshape(-1, slope.shape[-1]).T @ read.reshape(-1, read.shape[-1])
        return
    settings = _Settings(call, weight)
    for read, slope in zip(inputs, gradients, strict=True):
        yield settings.weight_gradient(slope, settings.padded(read))


class _Settings:
    """A convolution's stride, padding and so on, one number a spatial dimension."""

    def __init__(self, call: LayerCall, weight: Tensor) -> None:
        self._weight = weight
        kernel = weight.shape[2:]
        given = dict(call.settings)
        self._transposed = "transpose" in call.function
        self._groups = int(given.get("groups", 1))
        self._stride, self._dilation = (
            _each(given.get(name, 1), len(kernel)) for name in ("stride", "dilation")
        )
        self._output_padding = _each(given.get("output_padding", 0), len(kernel))
        padding = given.get("padding", 0)
        self._beyond: list[int] = []
        if padding == "same":
            totals = [step * (size - 1) for step, size in zip(self._dilation, kernel, strict=True)]
            self._padding = [total // 2 for total in totals]
            # Of an odd total the larger part comes after the image; last dimension first, as pad wants it.
            self._beyond = [part for total in reversed(totals) for part in (0, total % 2)]
        else:
            self._padding = _each(0 if padding == "valid" else padding, len(kernel))

    def padded(self, inputs: Tensor) -> Tensor:
        """The inputs, with what symmetric padding leaves out."""
        return functional.pad(inputs, self._beyond) if any(self._beyond) else inputs

    def weight_gradient(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        """The gradient at the weight alone."""
        found: Tensor = torch.ops.aten.convolution_backward(
            gradient,
            inputs,
            self._weight,
            None,
            self._stride,
            self._padding,
            self._dilation,
            self._transposed,
            self._output_padding,
            self._groups,
            [False, True, False],
        )[1]
        return found


def _each(value: Any, dimensions: int) -> list[int]:
    """One number a spatial dimension."""
    if isinstance(value, int):
        return [value] * dimensions
    numbers = [int(number) for number in value]
    return numbers * dimensions if len(numbers) == 1 else numbers
