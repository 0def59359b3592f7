"""From a model's output to logits, and whether model and data fit each other at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunecli.errors import InputRefused
from prunecli.training.batches import Batches


def logits_of(output: object) -> Tensor:
    """The (N, classes) logits in whatever a classifier returns.

    A tensor is taken as it is; else the field or key `logits`, else the first of a tuple (auxiliary heads
    come after it). Raises InputRefused when no (N, classes) tensor is found so.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", None)
        if found is None and isinstance(output, (tuple, list)) and output:
            found = output[0]
    if not isinstance(found, Tensor) or found.dim() != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(output).__name__
        raise InputRefused(
            f"the model is no image classifier: its output is {shape}",
            hints=["wanted is a tensor (images, classes), or an output with such a tensor as `logits`"],
        )
    return found


@torch.no_grad()
def check_fit(model: nn.Module, batches: Batches, *, classes: int | None) -> None:
    """Run one image through `model`, in evaluation mode on its device.

    Raises InputRefused when the network does not take such images, or has another number of outputs
    than the data has `classes`.
    """
    images, _ = batches.first(1)
    try:
        output = model(images)
    except (RuntimeError, ValueError, AssertionError) as error:
        shape = "x".join(map(str, images.shape[1:]))
        reason = str(error).strip().partition("\n")[0]
        raise InputRefused(f"the model does not take images of {shape}", hints=[reason]) from error
    outputs = logits_of(output).shape[1]
    wanted = int(batches.labels.max()) + 1 if classes is None else classes
    if outputs < wanted or (classes is not None and outputs != classes):
        known = f"{wanted} classes" if classes is not None else f"a class {wanted - 1}"
        raise InputRefused(
            f"the data has {known} and the model {outputs} outputs",
            hints=["give data with the classes the model was trained on, in the same order"],
        )
