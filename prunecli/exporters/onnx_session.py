"""An ONNX file run by onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.exporters.comparison import compare
from prunecli.exporters.contract import ExportCheck, ExportTask

if TYPE_CHECKING:
    from torch import Tensor


def prove(path: Path, task: ExportTask) -> ExportCheck:
    """Compare the file with the network; raises whatever onnxruntime raises on a file that it cannot run."""
    import onnxruntime
    import torch

    session = _session(path)
    names = [each.name for each in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        pairs = zip(task.names, inputs, strict=True)
        given = {name: tensor.numpy() for name, tensor in pairs if name in names}
        return [torch.as_tensor(array) for array in session.run(None, given)]

    return compare(task, run, runtime=f"onnxruntime {onnxruntime.__version__}")


def given_to(path: Path, names: Sequence[str]) -> set[str]:
    """Which of the network's inputs are in the file: one that it does not read is not."""
    return {each.name for each in _session(path).get_inputs()} & set(names)


def _session(path: Path) -> Any:
    import torch

    return open_session(path, threads=torch.get_num_threads())


def open_session(
    path: Path, *, threads: int, provider: str = "CPUExecutionProvider", waits_idle: bool = False
) -> Any:
    """A session of onnxruntime, which prints nothing; raises whatever onnxruntime raises.

    With `waits_idle` its threads leave the processor to others between two calls.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if waits_idle:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=[provider])
