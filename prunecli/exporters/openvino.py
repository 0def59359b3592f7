"""OpenVINO's own form: a graph in XML and its weights beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.errors import WorkFailed
from prunecli.exporters.comparison import accepted, compare
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter
from prunecli.exporters.silence import silence
from prunecli.exporters.torch_export import exported
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, nn


@exporter(
    "openvino",
    packages=("openvino",),
    extra="openvino",
    source="OpenVINO, docs.openvino.ai",
    suffix=".xml",
    beside=("{stem}.bin",),
    always_beside=True,
    fixed_suffix=True,
)
def export_openvino(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """OpenVINO's XML with its weights in NAME.bin, a free batch, checked by its CPU plugin."""
    import torch

    if any(parameter.dtype == torch.bfloat16 for parameter in model.parameters()):
        raise WorkFailed(
            "OpenVINO's Python takes and gives no bfloat16: the model cannot be checked",
            hints=["take --dtype fp16 or fp32, or --to pt2"],
        )
    try:
        with silence(), _telemetry_left_out():
            import openvino
            import openvino.tools.ovc  # the converter, which takes its telemetry along where it finds it

            network = openvino.convert_model(exported(model, task.example))
            for port, name in zip(network.inputs, task.names, strict=True):
                port.get_tensor().set_names({name})
            # What is stored keeps its type: half precision is asked for by --dtype.
            openvino.save_model(network, os.fspath(path), compress_to_fp16=False)
            # The plugin would compute in half precision where the processor can.
            compiled = openvino.Core().compile_model(
                os.fspath(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
    except Exception as failure:  # the converter raises whatever the network makes it raise
        raise WorkFailed(
            "no OpenVINO model could be made of this model", hints=[reason(failure)]
        ) from failure

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        found = compiled([tensor.numpy() for tensor in inputs])
        return [torch.as_tensor(found[port]) for port in compiled.outputs]

    runtime = f"openvino {openvino.__version__.partition('-')[0]}, CPU"
    return accepted(compare(task, run, runtime=runtime), "the OpenVINO model")


@contextmanager
def _telemetry_left_out() -> Iterator[None]:
    """Inside, OpenVINO's converter finds no telemetry and takes its stub: it would send without asking.

    It writes an identifier into the home directory and reports every conversion unless told not to by a
    program of its own.
    """
    name = "openvino_telemetry"
    held = {key: sys.modules.pop(key) for key in [*sys.modules] if key.partition(".")[0] == name}
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(held)
