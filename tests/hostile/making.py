"""What the corpus is made of: files put together byte by byte, and cases that say how a run on them must end."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prunecli.checkpoints import sample_models

FILE = "FILE"
INSPECT = ("inspect", FILE, "--quiet")


@dataclass(frozen=True)
class Case:
    """A file, a command on it, and how that must end.

    `make` writes into an empty folder and gives the name that takes the place of FILE. `codes` are the exit
    codes that are right; `says` must stand on standard error.
    """

    name: str
    make: Callable[[Path], str]
    arguments: tuple[str, ...] = INSPECT
    codes: tuple[int, ...] = (3,)
    says: str = ""
    stdin: bool = False


def placed(name: str, content: bytes) -> Callable[[Path], str]:
    """Write `content` under `name`."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def saved(value: object, name: str = "model.pt", **options: Any) -> Callable[[Path], str]:
    """What torch.save makes of `value`."""

    def make(folder: Path) -> str:
        torch.save(value, folder / name, **options)
        return name

    return make


def safetensors_bytes(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file of a header (JSON value, text or bytes) with any claimed length."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(start: int, end: int, shape: Sequence[int], dtype: str = "F32") -> dict[str, Any]:
    """A tensor of a safetensors header."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def sample_bytes() -> bytes:
    """The smallest sample model: a small network that is recognised."""
    return sample_models()["vgg6bn-digits"].read_bytes()


def sample_header() -> tuple[dict[str, Any], bytes]:
    """Header and data of that sample."""
    whole = sample_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def sample_weights() -> dict[str, torch.Tensor]:
    """Its tensors, in one order: safetensors gives them in another each time."""
    from safetensors.torch import load

    return dict(sorted(load(sample_bytes()).items()))


def with_document(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The sample with its own document changed: `change` edits it, or gives another one (or text)."""
    header, data = sample_header()
    document = json.loads(header["__metadata__"]["prunecli"])
    changed = copy.deepcopy(document)
    given = change(changed)
    found = changed if given is None else given
    header["__metadata__"]["prunecli"] = found if isinstance(found, str) else json.dumps(found)
    return safetensors_bytes(header, data)


def torch_bytes(value: object, **options: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def small_weights() -> dict[str, torch.Tensor]:
    """Three tensors of no known network."""
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "conv.bias": torch.zeros(4),
        "linear.weight": torch.randn(2, 4),
    }


def members_of(content: bytes) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zip_of(
    members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip archive; a sequence may hold one name twice."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def torch_zip(pickled: bytes, storages: Sequence[bytes] = (bytes(16),)) -> bytes:
    """What torch reads as its own, with any pickle in it."""
    members = {"archive/data.pkl": pickled, "archive/byteorder": b"little", "archive/version": b"3\n"}
    members |= {f"archive/data/{number}": content for number, content in enumerate(storages)}
    return zip_of(members)


def legacy(pickled: bytes) -> bytes:
    """What torch.save wrote before 1.6, with any pickle in it."""
    import pickle

    magic, protocol, system = (
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}},
    )
    head = b"".join(pickle.dumps(each, 2) for each in (magic, protocol, system))
    return head + pickled + pickle.dumps([], 2)


def cases(family: str, made: Iterator[Case]) -> list[Case]:
    """The cases with the family's name before their own."""
    return [
        Case(f"{family}: {case.name}", case.make, case.arguments, case.codes, case.says, case.stdin)
        for case in made
    ]
