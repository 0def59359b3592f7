"""Python that rebuilds the network with torch alone, for those who may install nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.checkpoints.files import fill
from prunecli.errors import WorkFailed
from prunecli.exporters.comparison import accepted, compared
from prunecli.exporters.contract import Batch, ExportCheck, ExportTask, exporter
from prunecli.exporters.safetensors import write_tensors
from prunecli.exporters.separate_process import run_elsewhere, runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "{stem}_weights.safetensors"
# The last batch is one of training mode, where the file claims that.
OPENING = """
import importlib.util
spec = importlib.util.spec_from_file_location("written", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = module.load()
calls = 0
def run(batch):
    global calls
    calls += 1
    if calls <= {inferences}:
        return network(*batch)
    torch.manual_seed(0)
    outputs = network.train()(*batch)
    buffers = dict(network.named_buffers(remove_duplicate=False))
    return [outputs, [buffers[name] for name in sorted(buffers.keys() & network.state_dict().keys())]]
"""


@exporter(
    "python",
    packages=("safetensors",),
    source="torch.fx (Reed et al. 2021, arXiv:2112.08429); torch.export",
    suffix=".py",
    beside=(WEIGHTS,),
    always_beside=True,
)
def export_python(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """A readable model.py that rebuilds the network with torch alone, and its weights beside it."""
    from prunecli.exporters.python_source.tracing import saved_buffers, trained_once
    from prunecli.exporters.python_source.writing import source_of

    weights = WEIGHTS.format(stem=path.stem)
    source = source_of(model, task, module=path.stem, weights=weights)
    fill(path, [source.text.encode("utf-8")])
    write_tensors(source.tensors, path.with_name(weights))
    batches = list(task.batches)
    if source.trains:
        batches.append(Batch(task.example, tuple(trained_once(model, task.example, saved_buffers(model)))))
    opening = OPENING.format(inferences=len(task.batches))
    outputs = run_elsewhere(opening, path, [batch.inputs for batch in batches])
    if source.trains:
        _check_training(batches[-1], outputs.pop(), task)
    return accepted(compared(task, outputs, runtime=runtime(), notes=source.notes), "the Python file")


def _check_training(batch: Batch, found: Sequence[Tensor], task: ExportTask) -> None:
    largest = 0.0
    for one, other in zip(batch.expected, found, strict=True):
        error, scale = (
            float(each.double().abs().max()) if each.numel() else 0.0 for each in (one - other, one)
        )
        largest = max(largest, error / max(scale, 1.0))
    if not largest <= task.tolerance:
        raise WorkFailed(f"the Python file trains otherwise than the network: relative error {largest:.3g}")
