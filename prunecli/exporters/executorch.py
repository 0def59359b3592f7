"""ExecuTorch programs, for phones and small devices."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.checkpoints.files import fill
from prunecli.errors import WorkFailed
from prunecli.exporters.comparison import accepted, compare
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter
from prunecli.exporters.silence import silence
from prunecli.exporters.torch_export import exported
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, nn

# Memory is planned before the program runs, for the largest batch.
LARGEST_BATCH = 8
NOTE = f"for batches of 1 to {LARGEST_BATCH}: memory is planned beforehand"


@exporter(
    "executorch",
    packages=("executorch",),
    extra="executorch",
    source="ExecuTorch, docs.pytorch.org/executorch",
    suffix=".pte",
)
def export_executorch(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """An ExecuTorch program for XNNPACK, batches of 1 to 8, checked by ExecuTorch's runtime."""
    try:
        with silence():
            program = _program(model, task)
        fill(path, [program])
        with silence():
            method = _method(path)
    except Exception as failure:  # lowering raises whatever the network makes it raise
        raise WorkFailed(
            "no ExecuTorch program could be made of this model", hints=[reason(failure)]
        ) from failure

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        with silence():
            # The runtime reuses the memory of its outputs.
            return [tensor.clone() for tensor in method.execute([each.contiguous() for each in inputs])]

    check = compare(task, run, runtime=f"executorch {_version()}, XNNPACK", notes=(NOTE,))
    return accepted(check, "the ExecuTorch program")


def _program(model: nn.Module, task: ExportTask) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = exported(model, task.example, largest=LARGEST_BATCH)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    held = io.BytesIO()
    lowered.to_executorch().write_to_file(held)
    return held.getvalue()


def _method(path: Path) -> Any:
    from executorch.runtime import Runtime

    return Runtime.get().load_program(path).load_method("forward")


def _version() -> str:
    from importlib.metadata import version

    return version("executorch")
