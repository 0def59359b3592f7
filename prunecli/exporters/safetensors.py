"""The plain state dict, for tools that bring their own model code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.errors import WorkFailed
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter

if TYPE_CHECKING:
    from torch import Tensor, nn


@exporter(
    "safetensors",
    packages=("safetensors",),
    source="safetensors, huggingface.co/docs/safetensors",
    suffix=".safetensors",
    runs=False,
)
def export_safetensors(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """State dict as safetensors under the module's own names, read back bit for bit.

    Weights that the module shares are written once for every name. Raises WorkFailed when what is read
    back is not what was written.
    """
    import safetensors
    from safetensors.torch import load

    tensors = model.state_dict()
    write_tensors(tensors, path)
    found = load(path.read_bytes())  # by the library, whose own opening takes no path that is not UTF-8
    if found.keys() != tensors.keys():
        raise WorkFailed("the safetensors file does not hold the tensors that were written")
    changed = [name for name, tensor in tensors.items() if not _same_bits(tensor, found[name])]
    if changed:
        raise WorkFailed(f"{changed[0]} was read back from the safetensors file with other values")
    return ExportCheck(f"safetensors {safetensors.__version__}", 0.0, 0.0, equivalent=True)


def write_tensors(given: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors under their names and read them back; raises WorkFailed where a bit differs."""
    from prunecli.checkpoints.saving import fill_with_tensors

    fill_with_tensors(path, given, metadata={"format": "pt"})


def _same_bits(a: Tensor, b: Tensor) -> bool:
    import torch

    # As bytes, so that NaN equals itself and −0 does not equal 0.
    one, other = (each.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for each in (a, b))
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(one, other)
