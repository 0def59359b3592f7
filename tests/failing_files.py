"""A file system whose N-th call fails, or ends the process as a crash would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunecli.checkpoints.files import Files, standing_in

CRASHED = 77


class Counted(Files):
    """The real file system, which notes what is asked of it before it is done."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.moves: list[tuple[str, str]] = []

    def sync(self, path: Path) -> None:
        """Not waited for: what counts here is when it is asked for."""

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A call is about to be made."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in vars(Files):
            return found

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            paths = [each.name for each in arguments if isinstance(each, Path)]
            self.moves.append((name, paths[-1] if paths else ""))
            self.before(name, arguments)
            return found(*arguments)

        return call


class FailsAt(Counted):
    """The call `number` (from 1) raises OSError; half of a write is done by then."""

    def __init__(self, number: int, code: int) -> None:
        super().__init__()
        self.number, self.code = number, code

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        if len(self.calls) == self.number:
            _half_written(name, arguments)
            raise OSError(self.code, os.strerror(self.code))


class CrashesAt(Counted):
    """The process ends before the call `number` (from 1); half of a write is done by then."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        if len(self.calls) == self.number:
            _half_written(name, arguments)
            os._exit(CRASHED)


class RemovesItsFolder(Files):
    """Somebody removes the folder of the output while it is about to be written."""

    def create(self, path: Path) -> int:
        shutil.rmtree(path.parent)
        return super().create(path)


def _half_written(name: str, arguments: tuple[Any, ...]) -> None:
    if name == "write":
        file, content = arguments
        file.write(content[: len(content) // 2])


def in_a_child(work: Callable[[], object], files: Files | None = None) -> int:
    """Do `work` in a forked child, on `files`; its exit code: 0, `CRASHED`, or 1 for what was raised."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        with standing_in(files or Files()):
            work()
        code = 0
    finally:
        os._exit(code)
