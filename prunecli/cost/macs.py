"""Parameters, multiply-accumulates and bytes of a model.

MACs are those of convolutions, linear layers, matrix products and attention at batch 1: what
`torch.utils.flop_counter` counts, divided by 2 (1 MAC = 2 FLOPs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from prunecli.cost.flops import FlopCount
from prunecli.cost.trial import Call, Inputs, with_a_copy


@dataclass(frozen=True)
class Cost:
    """What one model costs at batch 1."""

    params: int
    """Elements of all parameters, shared ones once."""
    macs: int
    flops: int
    """2 × `macs`."""
    bytes: int
    """Of all tensors in the state dict, buffers included."""
    notes: tuple[str, ...] = ()
    """How the figures came about when not in the usual way."""

    def document(self) -> dict[str, int]:
        """The JSON of the four figures."""
        return {"params": self.params, "macs": self.macs, "flops": self.flops, "bytes": self.bytes}


def measure(model: nn.Module, input_shape: Sequence[int], *, inputs: Inputs | None = None) -> Cost:
    """The cost of one forward pass of `model` at batch 1.

    `input_shape` is without the batch axis, (3, 32, 32); `inputs` replace the tensor of that shape for
    models that take something else. `model` may be on any device, the meta device too, and is left as
    it is. Raises InputRefused when the forward pass fails.
    """
    flops, note = with_a_copy(model, input_shape, inputs=inputs, action=_count_flops)
    return Cost(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=flops // 2,
        flops=flops,
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()),
        notes=() if note is None else (f"MACs: {note}",),
    )


def _count_flops(call: Call) -> int:
    with FlopCount() as counter:
        call()
    return sum(counter.by_operation.values())
