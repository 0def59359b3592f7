"""Small checkpoints and hostile files, made on the spot."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor


class DropsMarker:
    """A pickle that leaves a file behind when it is run, and nothing else."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "conv1.weight": torch.randn(4, 3, 3, 3),
        "bn1.weight": torch.rand(4),
        "bn1.num_batches_tracked": torch.tensor(7),
        "linear.bias": torch.zeros(2),
    }


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save_as(value: object, name: str = "model.pt", **options: Any) -> Path:
        path = tmp_path / name
        torch.save(value, path, **options)
        return path

    return save_as


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "the file was run"


@pytest.fixture
def payload(marker: Path) -> DropsMarker:
    return DropsMarker(marker)


@pytest.fixture
def safetensors_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a safetensors file byte by byte: a header (dict or raw bytes) and the data behind it."""

    def write(header: dict[str, Any] | bytes, data: bytes = b"", name: str = "model.safetensors") -> Path:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = tmp_path / name
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
        return path

    return write


@pytest.fixture
def rezip(tmp_path: Path) -> Callable[..., Path]:
    """Write the members of a torch file again with Python's zipfile, changed by `edit`."""

    def write(path: Path, edit: Callable[[zipfile.ZipFile, str, bytes], None]) -> Path:
        target = tmp_path / "rewritten.pt"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
            for info in old.infolist():
                edit(new, info.filename, old.read(info))
        return target

    return write
