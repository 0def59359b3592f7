"""Where the commands of a page are run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prunecli.checkpoints import default_sample


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a copy of the bundled sample and nothing said by the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("CHECKPOINT", "DATA", "FORMAT", "JSON", "QUIET"):
        monkeypatch.delenv(f"PRUNECLI_{name}", raising=False)
    shutil.copy(default_sample(), tmp_path / "model.safetensors")
    return tmp_path
