"""A file system whose N-th call fails, or ends the process as a crash would."""

from __future__ import annotations

import os
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

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A call is about to be made."""

    def after(self) -> None:
        """A call was made."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in vars(Files):
            return found

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            paths = [each.name for each in arguments if isinstance(each, Path)]
            self.moves.append((name, paths[-1] if paths else ""))
            self.before(name, arguments)
            result = found(*arguments)
            self.after()
            return result

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
    """The process ends right before (`number` odd) or right after the call `(number + 1) // 2`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        if 2 * len(self.calls) - 1 == self.number:
            _half_written(name, arguments)
            os._exit(CRASHED)

    def after(self) -> None:
        if 2 * len(self.calls) == self.number:
            os._exit(CRASHED)


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


__all__ = ["CRASHED", "Counted", "CrashesAt", "FailsAt", "in_a_child", "standing_in"]
