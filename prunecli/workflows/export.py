"""Write a checkpoint for another runtime, checked there before success is reported."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from prunecli.checkpoints import write_whole
from prunecli.data import normalise
from prunecli.exporters.contract import EXPORTERS, ExportCheck, Exporter
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.saving import destination

SAMPLES = 16


@dataclass(frozen=True)
class ExportResult:
    """The file that was written, and how far it is from the network it came from."""

    format: str
    output: Mapping[str, Any]
    check: ExportCheck
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `export`."""
        return {"format": self.format, "output": dict(self.output), "verification": self.check.document()}


def export(
    opening: Opening,
    *,
    to: str = "onnx",
    opset: int | None = None,
    data: str | None = None,
    output: str | None = None,
    force: bool = False,
) -> ExportResult:
    """Export a checkpoint; without an output, the name of the checkpoint with the format's suffix.

    `data` gives real images for the check beside random ones. Raises WrongUse for an unknown format or one
    whose packages are missing, WorkFailed when the exported file does not compute the same.
    """
    exporter = EXPORTERS[to]
    exporter.require()
    output = output or _default_output(opening, exporter)
    with destination(opening, output, force=force):
        opened = open_checkpoint(opening)
        samples, notes = _samples(opened, data)
        found: list[ExportCheck] = []

        def write(path: Path) -> None:
            shape = opened.architecture.input_shape
            found.append(exporter.export(opened.model, path, input_shape=shape, samples=samples, opset=opset))

        if output == "-":
            written = _to_standard_output(write, exporter)
        else:
            written = asdict(write_whole(output, write, force=force))
        return ExportResult(
            to, {**written, "path": output}, found[0], (*opened.notes, *notes, *found[0].notes)
        )


def _default_output(opening: Opening, exporter: Exporter) -> str:
    if opening.checkpoint == "-":
        return "-"
    name = Path(opening.checkpoint).stem if opening.checkpoint else "sample"
    return f"{name}{exporter.suffix}"


def _samples(opened: Opened, data: str | None) -> tuple[Tensor | None, tuple[str, ...]]:
    if data is None:
        return None, ()
    images = open_images(opened, data)
    return normalise(images.data.test.pixels(slice(SAMPLES)), images.mean, images.std), images.notes


def _to_standard_output(write: Any, exporter: Exporter) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{exporter.suffix}"
        written = asdict(write_whole(path, write))
        sys.stdout.buffer.write(path.read_bytes())
        sys.stdout.buffer.flush()
    return written
