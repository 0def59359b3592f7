"""The shipped index of known architectures: what each is called, and how its tensors look.

Written by `benchmarks/build_architecture_index.py` for the versions that it names; needs no torch.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from prunecli.architectures.fingerprint import Fingerprint, Probe

FILE = "index.json.gz"


@dataclass(frozen=True)
class Entry:
    """One architecture with one set of arguments.

    `classes` and `channels` are the sizes that follow those two arguments. Entries with the same tensor
    names compute the same function exactly when their `kin` is the same.
    """

    name: str
    arguments: dict[str, Any]
    fingerprint: Fingerprint
    classes: tuple[Probe, ...] = ()
    channels: tuple[Probe, ...] = ()
    kin: int = 0


@dataclass(frozen=True)
class Index:
    """All entries; a line and an input shape for each name; the versions they were made with."""

    entries: tuple[Entry, ...]
    lines: Mapping[str, str]
    input_shapes: Mapping[str, tuple[int, ...]]
    built_with: Mapping[str, str]

    def lines_of(self, source: str) -> dict[str, str]:
        """Short name → line of one source."""
        start = f"{source}/"
        return {name[len(start) :]: line for name, line in self.lines.items() if name.startswith(start)}

    @property
    def sources(self) -> frozenset[str]:
        """The sources that were indexed."""
        return frozenset(name.partition("/")[0] for name in self.lines)


@cache
def shipped_index() -> Index:
    """The index in the package."""
    return read_index(files("prunecli.architectures").joinpath(FILE).read_bytes())


def read_index(packed: bytes) -> Index:
    """The index from its file's bytes; empty bytes give an empty one."""
    if not packed:
        return Index((), {}, {}, {})
    document = json.loads(gzip.decompress(packed))
    return Index(
        entries=tuple(_entry(row) for row in document["entries"]),
        lines=document["lines"],
        input_shapes={name: tuple(shape) for name, shape in document["input_shapes"].items()},
        built_with=document["built_with"],
    )


def write_index(path: Path, index: Index) -> int:
    """Write the index so that equal contents give equal bytes; gives the number of bytes."""
    document = {
        "built_with": dict(index.built_with),
        "lines": dict(index.lines),
        "input_shapes": {name: list(shape) for name, shape in index.input_shapes.items()},
        "entries": [_row(entry) for entry in index.entries],
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def _row(entry: Entry) -> list[Any]:
    look = entry.fingerprint
    probes = [_packed(entry.classes), _packed(entry.channels)]
    hashes = [look.names, look.shapes, look.tensors, look.parameters, look.sketch]
    return [entry.name, entry.arguments, *hashes, *probes, entry.kin]


def _entry(row: list[Any]) -> Entry:
    name, arguments, *hashes, classes, channels, kin = row
    return Entry(name, arguments, Fingerprint(*hashes), _unpacked(classes), _unpacked(channels), kin)


def _packed(probes: Iterable[Probe]) -> list[list[Any]]:
    return [[probe.tensor, probe.axis, probe.factor] for probe in probes]


def _unpacked(rows: Iterable[list[Any]]) -> tuple[Probe, ...]:
    return tuple(Probe(*row) for row in rows)
