"""A log as JSON lines: one event a line, each on the disk as soon as it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from prunecli import documents
from prunecli.checkpoints import check_output, shown
from prunecli.errors import WrongUse
from prunecli.training.logs.records import epoch_figures

if TYPE_CHECKING:
    from prunecli.training.settings import EpochRecord

_LONGEST_LINE = 1 << 20


class JsonLines:
    """Lines `{"event": "start" | "step" | "epoch" | "finish", "time": seconds since 1970, ...}`.

    The file is made by `start`. That of a resumed training is appended to; a line that was cut off when the
    earlier process was killed is taken away first.
    """

    def __init__(
        self, path: str, *, resumed: bool = False, force: bool = False, inputs: Sequence[str | Path] = ()
    ) -> None:
        """Raise WrongUse for a file that cannot be, or holds something that must not be lost."""
        self._path, self._resumed = Path(path), resumed
        self._file: BinaryIO | None = None
        if not path or path == "-":
            raise WrongUse("a log of JSON lines needs the name of a file", hints=["--log jsonl:train.jsonl"])
        free = resumed or (self._path.is_file() and self._path.stat().st_size == 0)
        check_output(path, inputs=inputs, force=force or free)
        self._append = resumed and _is_log(self._path)
        if resumed and not self._append and not force and self._path.exists():
            raise WrongUse(
                f"{shown(path)} is no log of an earlier part of the training",
                hints=["choose another file", "to replace it: --force"],
            )

    def start(self, facts: Mapping[str, Any]) -> None:
        """Open the file and write the first line of this process."""
        if self._append:
            _take_away_half_line(self._path)
            self._file = self._path.open("ab")
        else:
            self._file = self._path.open("wb")
        self._write("start", {**facts, "resumed": self._resumed})

    def step(self, figures: Mapping[str, float]) -> None:
        """A line of figures."""
        self._write("step", figures)

    def epoch(self, record: EpochRecord) -> None:
        """A line with the keys of the history in the documents."""
        self._write("epoch", epoch_figures(record))

    def finish(self, facts: Mapping[str, Any]) -> None:
        """The last line."""
        self._write("finish", facts)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            # What could not be written was told when it was.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _write(self, event: str, content: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("a log is started before anything else is told to it")
        line = documents.plain({"event": event, "time": time.time(), **content})
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()


def _is_log(path: Path) -> bool:
    """Whether lines may be added: an empty file, or one that begins with such a line."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        first = file.readline(_LONGEST_LINE)
    if not first:
        return True
    with suppress(ValueError):
        line = json.loads(first)
        return isinstance(line, dict) and "event" in line
    return False


def _take_away_half_line(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_LINE))
        tail = file.read()
        if not tail.endswith(b"\n"):
            file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
