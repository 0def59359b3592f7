"""Reports and pictures reach the disk through the one writer of the house: read back whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from prunecli.checkpoints import Written, write_whole
from prunecli.errors import WorkFailed


def write_data(path: str, data: bytes, *, force: bool = False) -> Written:
    """Write `data` to `path`; raises WrongUse as `check_output` does, WorkFailed when that fails."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    def same(temporary: Path) -> None:
        if temporary.read_bytes() != data:
            raise WorkFailed(f"{temporary.name} was read back with other bytes than were written")

    return write_whole(path, write, verify=same, expected_bytes=len(data), force=force)
