"""Write a checkpoint for another runtime, checked there before success is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from prunecli.checkpoints.outputs import STREAM
from prunecli.exporters.contract import EXPORTERS, ExportCheck, Exporter, ExportTask
from prunecli.graph.inputs import Calling, weights_type
from prunecli.progress import Progress, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.workflows.export_fusing import fused
from prunecli.workflows.export_inputs import ExportInputs, by_position, in_type, inputs_for_export
from prunecli.workflows.export_writing import kept_for, written_to
from prunecli.workflows.opening import Opening, open_checkpoint

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# The largest error over the largest output. Half precision keeps 8 to 11 bits; a different order of
# summation already moves the third digit.
TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
TOLERANCE_OF_INTEGERS = 0.2
# For a format that only stores the network.
NOTHING = ExportInputs(Calling(()), (), (), (), ())


@dataclass(frozen=True)
class ExportResult(ShownInNotebooks, command="export"):
    """The file that was written, and how far it is from the network it came from.

    `folded` is how many batch norms went into the layers before them, None when that was not asked for.
    """

    format: str
    output: Mapping[str, Any]
    check: ExportCheck
    dtype: str
    weights: str | None
    folded: int | None
    inputs: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `export`."""
        return {
            "format": self.format,
            "output": dict(self.output),
            "dtype": self.dtype,
            "weights": self.weights,
            "folded_batch_norms": self.folded,
            "inputs": [dict(each) for each in self.inputs],
            "verification": self.check.document(),
        }


def export(
    opening: Opening,
    *,
    to: str = "onnx",
    opset: int | None = None,
    dtype: str | None = None,
    weights: str | None = None,
    fuse: bool = False,
    data: str | None = None,
    output: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> ExportResult:
    """Export a checkpoint; without an output, the name of the checkpoint with the format's suffix.

    `dtype` is "fp32", "fp16" or "bf16", `weights` "int8", `fuse` folds batch norms. `data` gives real images
    for the check beside random ones. Raises WrongUse for an unknown format, an option that it does not have
    or missing packages, WorkFailed when the exported file does not compute the same.
    """
    exporter = EXPORTERS[to]
    exporter.refuse({"opset": opset, "dtype": dtype, "weights": weights, "fuse": fuse})
    exporter.require()
    output = output or _default_output(opening, exporter)
    with kept_for(opening, output, exporter, force=force):
        opened = open_checkpoint(opening, progress=progress)
        inputs = inputs_for_export(opened, data) if exporter.runs or fuse else NOTHING
        model = by_position(opened.model, inputs.calling)
        folded = None
        if fuse:
            model, pairs = fused(model, inputs.example)
            folded = len(pairs)
        kind = weights_type(model) if dtype is None else DTYPES[dtype]
        model = model.to(kind)
        task = replace(_task(inputs, kind, opset=opset, weights=weights), folded=folded or 0)
        written, check = written_to(
            output, exporter, lambda path: exporter.export(model, path, task), force=force
        )
    return ExportResult(
        to,
        written,
        check,
        str(kind).removeprefix("torch."),
        weights,
        folded,
        tuple(_described(task)),
        (*opened.notes, *(inputs.notes if exporter.runs else ()), *_folding(folded), *check.notes),
    )


def _task(inputs: ExportInputs, kind: torch.dtype, *, opset: int | None, weights: str | None) -> ExportTask:
    """The inputs in the type that is exported, and how far off the result may be."""
    return ExportTask(
        batches=tuple(replace(batch, inputs=in_type(batch.inputs, kind)) for batch in inputs.batches),
        names=inputs.names,
        example=in_type(inputs.example, kind),
        tolerance=TOLERANCES[kind] if weights is None else TOLERANCE_OF_INTEGERS,
        opset=opset,
        weights=weights,
    )


def _described(task: ExportTask) -> Iterator[Mapping[str, Any]]:
    """Name, shape with "batch" in front and type of each input."""
    for name, tensor in zip(task.names, task.example, strict=True):
        kind = str(tensor.dtype).removeprefix("torch.")
        yield {"name": name, "shape": ["batch", *tensor.shape[1:]], "dtype": kind}


def _folding(folded: int | None) -> tuple[str, ...]:
    return () if folded is None else (f"{folded} batch norms folded, equal in float64",)


def _default_output(opening: Opening, exporter: Exporter) -> str:
    if opening.checkpoint == STREAM and not (exporter.folder or exporter.always_beside):
        return STREAM
    name = Path(opening.checkpoint or "sample").stem if opening.checkpoint != STREAM else "model"
    return f"{name}{exporter.suffix}"
