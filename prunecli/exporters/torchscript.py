"""TorchScript by tracing: for programs in C++ and on phones that load it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.checkpoints.files import fill
from prunecli.errors import WorkFailed
from prunecli.exporters.comparison import accepted, compared
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter
from prunecli.exporters.separate_process import run_elsewhere, runtime
from prunecli.exporters.silence import silence
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import nn

OPENING = """
program = torch.jit.load(path)
def run(batch):
    return program(*batch)
"""
NOTE = "traced and frozen: for inference, the weights are constants of the program"


@exporter("torchscript", source="torch.jit, docs.pytorch.org/docs/stable/jit.html", suffix=".torchscript")
def export_torchscript(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """TorchScript, traced and frozen, opened by torch.jit.load without prunecli."""
    import torch

    held = io.BytesIO()
    try:
        with silence(), torch.no_grad():
            # Two images: a batch of one hides what depends on the batch. Outputs may be dictionaries.
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                model, task.example, strict=False, check_trace=False
            )
            torch.jit.save(torch.jit.freeze(traced), held)
    except Exception as failure:  # tracing raises whatever the network makes it raise
        raise WorkFailed("this model cannot be traced", hints=[reason(failure)]) from failure
    fill(path, [held.getbuffer()])
    outputs = run_elsewhere(OPENING, path, [batch.inputs for batch in task.batches])
    return accepted(compared(task, outputs, runtime=runtime(), notes=(NOTE,)), "the TorchScript file")
