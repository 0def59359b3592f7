"""A program of torch.export: opens with torch alone."""

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
from prunecli.exporters.torch_export import exported

if TYPE_CHECKING:
    from torch import nn

OPENING = """
program = torch.export.load(path).module()
def run(batch):
    return program(*batch)
"""


@exporter("pt2", source="torch.export, docs.pytorch.org/docs/stable/export.html", suffix=".pt2")
def export_pt2(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """A torch.export program with a free batch dimension, opened by torch.export.load without prunecli."""
    import torch

    try:
        program = exported(model, task.example)
    except ValueError as failure:
        raise WorkFailed(
            "no torch.export program could be made of this model", hints=[str(failure)]
        ) from failure
    # The writer of torch aborts the process on a full disk; one of ours raises.
    held = io.BytesIO()
    with silence():
        torch.export.save(program, held)
    fill(path, [held.getbuffer()])
    outputs = run_elsewhere(OPENING, path, [batch.inputs for batch in task.batches])
    return accepted(compared(task, outputs, runtime=runtime()), "the torch.export program")
