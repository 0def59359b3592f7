"""A latency table on the disk, with the machine that it holds for."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunecli.checkpoints import write_data
from prunecli.checkpoints.json_files import read_json
from prunecli.errors import InputRefused

SCHEMA = "prunecli.latency-table/1"
CPU_FACTS = Path("/proc/cpuinfo")


def machine_facts(*, device: str, threads: int | None, batch: int) -> dict[str, Any]:
    """What the seconds of a table depend on: processor or accelerator, threads, batch, torch."""
    import torch

    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "processor": _processor(),
        "threads": threads or torch.get_num_threads(),
        "batch": batch,
        "torch": torch.__version__,
    }


def save_table(
    path: str | Path, known: Mapping[str, float | None], *, machine: Mapping[str, Any], force: bool = False
) -> None:
    """Write the seconds of operations by key; raises WrongUse where `path` exists, unless `force`."""
    document = {"schema": SCHEMA, "machine": dict(machine), "seconds": dict(known)}
    write_data(path, (json.dumps(document, indent=1) + "\n").encode("utf-8"), force=force)


def load_table(path: str | Path, *, machine: Mapping[str, Any]) -> dict[str, float | None]:
    """The seconds of a saved table; raises InputRefused for another file and for one of another machine."""
    document = read_json(str(path), what="the latency table")
    keys = ("schema", "machine", "seconds")
    if not isinstance(document, dict) or not all(key in document for key in keys):
        raise InputRefused(f"{str(path)!r} is no latency table")
    schema, facts, seconds = (document[key] for key in keys)
    if schema != SCHEMA:
        raise InputRefused(f"{str(path)!r} is a document {schema}, not {SCHEMA}")
    other = [
        f"{key} {facts.get(key)}, not {value}" for key, value in machine.items() if facts.get(key) != value
    ]
    if other:
        raise InputRefused(
            f"{str(path)!r} holds the latencies of another machine or setting",
            hints=[*other[:2], "measure anew: leave the table out"],
        )
    return dict(seconds)


def _processor() -> str:
    """The processor's name as the system has it."""
    try:
        lines = CPU_FACTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
