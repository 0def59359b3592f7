"""The proof of an ONNX file: onnxruntime gives what torch gives, for several batch sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.exporters.contract import ExportCheck

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

RELATIVE_TOLERANCE = 1e-4
# Half precision keeps 8 to 11 bits; a different order of summation already moves the third digit.
HALF_RELATIVE_TOLERANCE = 2e-2
LARGE_BATCH = 3


def prove(
    model: nn.Module, path: Path, *, input_shape: tuple[int, ...], dtype: torch.dtype, samples: Tensor | None
) -> ExportCheck:
    """Compare `model` (on the CPU, evaluation mode) with the file at `path` on random input and on `samples`.

    Batches of 1 and 3. The tolerance is relative to the largest output of the model. Raises whatever
    onnxruntime raises on a file that it cannot run, ValueError when outputs differ in number or shape.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    errors, scales, agreed, seen = [], [], 0, 0
    for batch in _batches(input_shape, samples=samples, dtype=dtype):
        expected = _outputs(model, batch)
        found = [torch.as_tensor(array) for array in session.run(None, {name: batch.numpy()})]
        if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
            raise ValueError(f"outputs of shape {[(*f.shape,) for f in found]} for {len(batch)} inputs")
        errors += [_largest(e.double() - f.double()) for e, f in zip(expected, found, strict=True)]
        scales += [_largest(e) for e in expected]
        if expected[0].ndim == 2:
            agreed += int((expected[0].argmax(1) == found[0].argmax(1)).sum())
            seen += len(batch)
    # A maximum of tensors keeps NaN, one of Python floats may lose it.
    error, scale = float(torch.stack(errors).max()), float(torch.stack(scales).max())
    tolerance = scale * (RELATIVE_TOLERANCE if dtype.itemsize >= 4 else HALF_RELATIVE_TOLERANCE)
    notes = (f"top-1 agrees on {agreed} of {seen} inputs",) if seen else ()
    return ExportCheck(f"onnxruntime {onnxruntime.__version__}", error, tolerance, error <= tolerance, notes)


def _batches(input_shape: tuple[int, ...], *, samples: Tensor | None, dtype: torch.dtype) -> Iterator[Tensor]:
    import torch

    generator = torch.Generator().manual_seed(0)
    for size in (1, LARGE_BATCH):
        yield torch.randn(size, *input_shape, generator=generator).to(dtype)
    if samples is not None:
        given = samples.detach().cpu().to(dtype)
        starts = (0, *range(1, len(given), LARGE_BATCH)) if len(given) else ()
        yield from (given[start : start + LARGE_BATCH if start else 1] for start in starts)


def _outputs(model: nn.Module, batch: Tensor) -> list[Tensor]:
    import torch
    from torch.utils import _pytree as pytree

    with torch.no_grad():
        leaves: list[Any] = pytree.tree_leaves(model(batch))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _largest(tensor: Tensor) -> Tensor:
    return tensor.double().abs().max() if tensor.numel() else tensor.new_zeros(()).double()
