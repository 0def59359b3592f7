"""ONNX in one file, by `torch.export` and, where that fails, by tracing."""

from __future__ import annotations

import copy
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.errors import WorkFailed, WrongUse
from prunecli.exporters.contract import ExportCheck, exporter
from prunecli.exporters.onnx_proof import prove
from prunecli.exporters.silence import silence

if TYPE_CHECKING:
    from torch import Tensor, nn

LOWEST_OPSET = 9
# torch.export writes opset 18 or later; its conversion to earlier ones fails on most models.
LOWEST_OPSET_OF_TORCH_EXPORT = 18
# A protocol buffer ends at 2 GiB; a mebibyte is left for the graph.
LARGEST_FILE = (1 << 31) - (1 << 20)
REASON_LENGTH = 200

Options = dict[str, Any]
"""What `torch.onnx.export` is told beside the model."""

BY_TORCH_EXPORT = "torch.export"
BY_TRACING = "tracing"


@exporter(
    "onnx",
    packages=("onnx", "onnxscript", "onnxruntime"),
    extra="onnx",
    source="torch.onnx; Open Neural Network Exchange, onnx.ai",
    suffix=".onnx",
)
def export_onnx(
    model: nn.Module,
    path: Path,
    *,
    input_shape: tuple[int, ...],
    samples: Tensor | None,
    opset: int | None,
) -> ExportCheck:
    """ONNX with a free batch dimension, checked in onnxruntime.

    One file, input `input` (batch, *input_shape). The first of `torch.export` and tracing whose file
    onnxruntime finds equivalent at batch 1 and 3 is kept, and the notes say why the other was not.
    Raises WrongUse for an opset that does not exist, WorkFailed when neither file is equivalent or
    the weights do not fit into one file.
    """
    import torch

    _check_opset(opset)
    _check_size(model)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    prepared = copy.deepcopy(model).cpu().eval()
    failures: list[str] = []
    for route, options in _routes(opset):
        try:
            with silence():
                # Two images: a batch of one would be taken for a constant.
                example = torch.zeros(2, *input_shape, dtype=dtype)
                _write(prepared, path, example, opset=opset, options=options)
                check = prove(prepared, path, input_shape=input_shape, dtype=dtype, samples=samples)
        except Exception as failure:  # the exporters raise whatever the model makes them raise
            failures.append(f"{route} failed: {_reason(failure)}")
            continue
        if check.equivalent:
            fallback = (f"exported by {route} because {failures[-1]}",) if failures else ()
            return ExportCheck(
                check.runtime, check.max_abs_error, check.tolerance, True, (*fallback, *check.notes)
            )
        failures.append(
            f"{route}: outputs differ by {check.max_abs_error:.3g} (at most {check.tolerance:.3g})"
        )
    raise WorkFailed("no equivalent ONNX file could be made of this model", hints=failures)


def _check_opset(opset: int | None) -> None:
    import onnx

    highest = onnx.defs.onnx_opset_version()
    if opset is not None and not LOWEST_OPSET <= opset <= highest:
        raise WrongUse(f"ONNX opset {opset} is not supported", hints=[f"valid: {LOWEST_OPSET} to {highest}"])


def _check_size(model: nn.Module) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > LARGEST_FILE:
        raise WorkFailed(
            f"an ONNX file holds at most 2 GiB, the model's tensors are {size / (1 << 30):.1f} GiB",
            hints=["safetensors files have no such limit: --to safetensors"],
        )


def _routes(opset: int | None) -> Iterator[tuple[str, Options]]:
    import torch

    if opset is None or opset >= LOWEST_OPSET_OF_TORCH_EXPORT:
        batch = torch.export.Dim("batch", min=1)
        yield BY_TORCH_EXPORT, {"dynamo": True, "external_data": False, "dynamic_shapes": ({0: batch},)}
    yield BY_TRACING, {"dynamo": False, "dynamic_axes": {"input": {0: "batch"}}}


def _write(model: nn.Module, path: Path, example: Tensor, *, opset: int | None, options: Options) -> None:
    import onnx
    import torch

    torch.onnx.export(
        model, (example,), str(path), input_names=["input"], opset_version=opset, verbose=False, **options
    )
    written = {one.domain: one.version for one in onnx.load(str(path)).opset_import}.get("")
    if opset is not None and written != opset:
        raise ValueError(f"opset {written} was written instead of {opset}")


def _reason(failure: BaseException) -> str:
    while failure.__cause__ is not None:  # the exporters wrap what went wrong into what to do next
        failure = failure.__cause__
    words = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    return f"{type(failure).__name__}: {textwrap.shorten(words, REASON_LENGTH, placeholder=' …')}"
