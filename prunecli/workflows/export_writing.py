"""Where an export goes: one file, a file with others beside it, a folder, or standard output."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prunecli.checkpoints import (
    Written,
    check_folder,
    hold_output,
    shown,
    target_of,
    write_folder,
    write_set,
    write_whole,
)
from prunecli.checkpoints.outputs import STREAM
from prunecli.errors import WrongUse
from prunecli.exporters.contract import ExportCheck, Exporter
from prunecli.workflows.opening import Opening
from prunecli.workflows.saving import destination

Write = Callable[[Path], ExportCheck]


@contextmanager
def kept_for(opening: Opening, output: str, exporter: Exporter, *, force: bool) -> Iterator[None]:
    """Keep the outputs for this run; one that cannot be is refused before any work."""
    if output == STREAM and (exporter.folder or exporter.always_beside):
        kind = "a folder" if exporter.folder else "more than one file"
        raise WrongUse(
            f"--to {exporter.name} writes {kind}, not to standard output", hints=["give it: -o PATH"]
        )
    if exporter.fixed_suffix and output != STREAM and Path(output).suffix != exporter.suffix:
        raise WrongUse(
            f"a file for {exporter.name} is called NAME{exporter.suffix}, not {shown(output)}",
            hints=[f"give it: -o {shown(Path(output).with_suffix(exporter.suffix))}"],
        )
    if exporter.folder:
        inputs = [each for each in (opening.checkpoint,) if each is not None and each != STREAM]
        check_folder(output, holding=exporter.beside, inputs=inputs, force=force)
        with hold_output(output):
            yield
        return
    beside = () if output == STREAM else exporter.companions(target_of(output))
    with destination(opening, output, *map(str, beside), force=force):
        yield


def written_to(
    output: str, exporter: Exporter, write: Write, *, force: bool
) -> tuple[dict[str, Any], ExportCheck]:
    """Write and check; `output` of the document, all files counted, and what the check found."""
    found: list[ExportCheck] = []

    def fill(path: Path) -> None:
        found.append(write(path))

    if output == STREAM:
        files: Sequence[Written] = (_to_standard_output(fill, exporter),)
    elif exporter.folder:
        files = write_folder(output, fill, holding=exporter.beside, force=force)
    elif exporter.beside:
        files = write_set(output, fill, beside=exporter.companions, force=force)
    else:
        files = (write_whole(output, fill, force=force),)
    document = {
        "path": output,
        "bytes": sum(each.bytes for each in files),
        "sha256": files[0].sha256,
        "files": [asdict(each) for each in files],
    }
    return document, found[0]


def _to_standard_output(fill: Callable[[Path], None], exporter: Exporter) -> Written:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{exporter.suffix}"
        written = write_whole(path, fill)
        if len(list(Path(folder).iterdir())) > 1:
            raise WrongUse(
                "the model takes more than one file, not standard output", hints=["give it: -o PATH"]
            )
        sys.stdout.buffer.write(path.read_bytes())
        sys.stdout.buffer.flush()
    return Written(STREAM, written.bytes, written.sha256)
