"""`torch.export` with a free batch dimension: what several formats begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunecli.exporters.silence import silence
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def exported(model: nn.Module, example: tuple[Tensor, ...], *, largest: int | None = None) -> ExportedProgram:
    """The program of `model`, which takes tensors by position, for any batch (up to `largest`).

    Raises ValueError with the reasons when torch.export cannot follow the network.
    """
    import torch

    failures = []
    for strict in (False, True):
        try:
            with silence(), torch.no_grad():
                shapes = dynamic_batch(model, len(example), largest=largest)
                return torch.export.export(model, example, dynamic_shapes=shapes, strict=strict)
        except Exception as failure:  # noqa: PERF203 - it raises whatever the network makes it raise
            failures.append(reason(failure))
    raise ValueError(f"torch.export cannot follow it: {failures[0]}")


def dynamic_batch(model: nn.Module, inputs: int, *, largest: int | None = None) -> Any:
    """What torch.export is told of the shapes: the first dimension of every input is the batch."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=largest)
    return tuple({0: batch} for _ in range(inputs))
