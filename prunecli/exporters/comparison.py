"""What an exported file computes, compared with what the network computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from prunecli.errors import WorkFailed
from prunecli.exporters.contract import Batch, ExportCheck, ExportTask

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[[tuple["Tensor", ...]], Sequence["Tensor"]]


def compare(task: ExportTask, run: Run, *, runtime: str, notes: Sequence[str] = ()) -> ExportCheck:
    """Compare what `run` gives with what the network gives, batch by batch.

    Raises whatever `run` raises, ValueError when outputs differ in number or shape.
    """
    return compared(task, [run(batch.inputs) for batch in task.batches], runtime=runtime, notes=notes)


def compared(
    task: ExportTask, outputs: Sequence[Sequence[Tensor]], *, runtime: str, notes: Sequence[str] = ()
) -> ExportCheck:
    """The same for outputs that are there, a list for each batch of the task."""
    import torch

    errors, scales, agreed, judged = [], [], 0, 0
    for batch, found in zip(task.batches, outputs, strict=True):
        shapes = [tuple(tensor.shape) for tensor in found]
        if shapes != [tuple(tensor.shape) for tensor in batch.expected]:
            raise ValueError(f"outputs of shape {shapes} for {_size(batch)} inputs")
        pairs = list(zip(batch.expected, found, strict=True))
        errors += [_largest(e.double() - f.double()) for e, f in pairs]
        scales += [_largest(e.double()) for e, _ in pairs]
        if pairs and pairs[0][0].ndim == 2:
            agreed += int((pairs[0][0].argmax(1) == pairs[0][1].argmax(1)).sum())
            judged += _size(batch)
    # A maximum of tensors keeps NaN, one of Python floats may lose it.
    error, scale = (float(torch.stack(each).max()) if each else 0.0 for each in (errors, scales))
    tolerance = scale * task.tolerance
    found_notes = (f"top-1 agrees on {agreed} of {judged} inputs",) if judged else ()
    return ExportCheck(
        runtime,
        error,
        tolerance,
        error <= tolerance,
        (*notes, *found_notes),
        agreed / judged if judged else None,
        sum(_size(batch) for batch in task.batches),
        sum(_size(batch) for batch in task.batches if batch.real),
    )


def accepted(check: ExportCheck, what: str) -> ExportCheck:
    """The check itself; raises WorkFailed where `what` was written but does not compute the same."""
    if check.equivalent:
        return check
    raise WorkFailed(
        f"{what} does not compute what the network computes: outputs differ by {check.max_abs_error:.3g}, "
        f"at most {check.tolerance:.3g} is accepted",
        hints=["nothing was written", *check.notes],
    )


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors in a network's outputs, in order."""
    import torch
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _size(batch: Batch) -> int:
    return len(batch.inputs[0]) if batch.inputs else 0


def _largest(tensor: Tensor) -> Tensor:
    return tensor.abs().max() if tensor.numel() else tensor.new_zeros(())
