"""Weights of an ONNX file as eight-bit integers, by onnxruntime's own quantization.

Convolutions compute on integers between ranges that were seen on the inputs of the check: measured on a CPU,
ranges found at run time make them several times slower. Matrix products take their ranges at run time:
those of transformers vary too much from input to input for fixed ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.checkpoints.files import fill
from prunecli.exporters.onnx_session import given_to, prove

if TYPE_CHECKING:
    from prunecli.exporters.contract import ExportCheck, ExportTask

CONVOLUTIONS = ["Conv", "ConvTranspose"]
PRODUCTS = ["MatMul", "Gemm"]
# QuantizeLinear with an axis came with it.
LOWEST_OPSET = 13


def to_integers(path: Path, task: ExportTask) -> ExportCheck:
    """Replace the file at `path` by one whose weights are int8, and compare that one with the network.

    Raises ValueError for an opset that has no such weights.
    """
    import tempfile

    import onnx
    from onnxruntime import quantization

    model = onnx.load(str(path))
    if next(each.version for each in model.opset_import if not each.domain) < LOWEST_OPSET:
        raise ValueError(f"int8 weights need opset {LOWEST_OPSET} or later")
    del model.graph.value_info[:]  # shapes of what quantization changes
    kinds = {node.op_type for node in model.graph.node}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, half = Path(folder) / "plain.onnx", Path(folder) / "half.onnx"
        onnx.save(model, str(plain))
        if kinds & set(CONVOLUTIONS):
            quantization.quantize_static(
                str(plain),
                str(half),
                _reader(plain, task),
                op_types_to_quantize=CONVOLUTIONS,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
            )
            plain = half
        if kinds & set(PRODUCTS):
            quantization.quantize_dynamic(
                str(plain),
                str(path),
                op_types_to_quantize=PRODUCTS,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
            )
        else:
            fill(path, [plain.read_bytes()])
    return prove(path, task)


def _reader(path: Path, task: ExportTask) -> Any:
    """The inputs that ranges are taken from: the real ones of the task where there are any."""
    from onnxruntime.quantization import CalibrationDataReader

    batches = [batch for batch in task.batches if batch.real] or list(task.batches)
    names = given_to(path, task.names)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Any] = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            """The next batch, None after the last."""
            batch = next(self._left, None)
            if batch is None:
                return None
            pairs = zip(task.names, batch.inputs, strict=True)
            return {name: tensor.numpy() for name, tensor in pairs if name in names}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice on preparing a file."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
