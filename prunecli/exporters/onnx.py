"""ONNX by `torch.export` and, where that fails, by tracing; in one file while it fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.checkpoints.writing import FULL
from prunecli.errors import WorkFailed, WrongUse
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter
from prunecli.exporters.onnx_session import prove
from prunecli.exporters.onnx_weights import to_integers
from prunecli.exporters.silence import silence
from prunecli.exporters.torch_export import dynamic_batch
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import nn

LOWEST_OPSET = 9
# torch.export writes opset 18 or later; its conversion to earlier ones fails on most models.
LOWEST_OPSET_OF_TORCH_EXPORT = 18
# A protocol buffer ends at 2 GiB; a mebibyte is left for the graph.
LARGEST_FILE = (1 << 31) - (1 << 20)

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
    options=("opset", "dtype", "weights", "fuse"),
    beside=("{name}.data",),
)
def export_onnx(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """ONNX with a free batch dimension, checked in onnxruntime.

    One file; weights of more than 2 GiB lie beside it, in `NAME.onnx.data`. The first of `torch.export` and
    tracing whose file onnxruntime finds equivalent is kept, and the notes say why the other was not. Raises
    WrongUse for an opset that does not exist, WorkFailed when neither file is equivalent.
    """
    _check_opset(task.opset)
    _check_type(model, task)
    external = _size(model) > LARGEST_FILE
    failures: list[str] = []
    for route, options in _routes(model, task, external=external):
        try:
            with silence():
                check = _written(model, path, task, options=options)
        except OSError as failure:
            if failure.errno in FULL:  # the other route would find no more room
                raise
            failures.append(f"{route} failed: {reason(failure)}")
            continue
        except Exception as failure:  # the exporters raise whatever the model makes them raise
            failures.append(f"{route} failed: {reason(failure)}")
            continue
        if check.equivalent:
            fallback = (f"exported by {route} because {failures[-1]}",) if failures else ()
            return replace(check, notes=(*fallback, *check.notes))
        failures.append(
            f"{route}: outputs differ by {check.max_abs_error:.3g} (at most {check.tolerance:.3g})"
        )
    raise WorkFailed("no equivalent ONNX file could be made of this model", hints=failures)


def _written(model: nn.Module, path: Path, task: ExportTask, *, options: Options) -> ExportCheck:
    for each in (path, path.with_name(f"{path.name}.data")):
        each.unlink(missing_ok=True)  # of the route before
    _write(model, path, task, options=options)
    if task.weights is None:
        return prove(path, task)
    found = to_integers(path, task)
    ranges = "real" if found.real_inputs else "random"
    note = f"int8 weights; ranges of activations from {ranges} inputs" + (
        "" if found.real_inputs else ": --data gives real ones"
    )
    return replace(found, notes=(note, *found.notes))


def _check_opset(opset: int | None) -> None:
    import onnx

    highest = onnx.defs.onnx_opset_version()
    if opset is not None and not LOWEST_OPSET <= opset <= highest:
        raise WrongUse(f"ONNX opset {opset} is not supported", hints=[f"valid: {LOWEST_OPSET} to {highest}"])


def _check_type(model: nn.Module, task: ExportTask) -> None:
    import torch

    kinds = {parameter.dtype for parameter in model.parameters()}
    if torch.bfloat16 in kinds:
        raise WorkFailed(
            "onnxruntime has no bfloat16 convolutions and products on a CPU to check the file with",
            hints=["take --dtype fp16 or fp32, or --to pt2"],
        )
    if task.weights is not None and kinds != {torch.float32}:
        raise WrongUse("--weights int8 is made of a network in fp32", hints=["add --dtype fp32"])
    if task.weights is not None and _size(model) > LARGEST_FILE:
        raise WorkFailed("int8 weights are made of at most 2 GiB", hints=["leave --weights out"])


def _size(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _routes(model: nn.Module, task: ExportTask, *, external: bool) -> Iterator[tuple[str, Options]]:
    inputs = len(task.names)
    if task.opset is None or task.opset >= LOWEST_OPSET_OF_TORCH_EXPORT:
        shapes = dynamic_batch(model, inputs)
        yield BY_TORCH_EXPORT, {"dynamo": True, "external_data": external, "dynamic_shapes": shapes}
    if not external:  # tracing writes no second file of our choosing
        yield BY_TRACING, {"dynamo": False, "dynamic_axes": {name: {0: "batch"} for name in task.names}}


def _write(model: nn.Module, path: Path, task: ExportTask, *, options: Options) -> None:
    import onnx
    import torch

    torch.onnx.export(
        model,
        task.example,
        os.fspath(path),
        input_names=list(task.names),
        opset_version=task.opset,
        verbose=False,
        **options,
    )
    written = {one.domain: one.version for one in onnx.load(str(path), load_external_data=False).opset_import}
    if task.opset is not None and written.get("") != task.opset:
        raise ValueError(f"opset {written.get('')} was written instead of {task.opset}")
