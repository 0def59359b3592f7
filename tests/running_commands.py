"""The command line in children of one warm process, which has torch loaded and no threads.

A child may be limited, have its streams closed, be stopped by a signal, or crash at a call on the files.
`Running` is the near end; `python running_commands.py` is the far end, which reads and answers JSON lines.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import failing_files

_WORKFLOWS = (
    "bench",
    "compare",
    "evaluate",
    "export",
    "finetune",
    "inspect",
    "prune",
    "score",
    "sensitivity",
    "sweep",
)
# What trainings and sweeps load when they begin.
_LATE = ("torch._dynamo", "optuna", "torch.onnx", "sklearn.datasets")
STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (128 + signal where one did it), and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run finds: variables (None takes one away), limits, streams that are closed or go elsewhere."""

    variables: Mapping[str, str | None] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    """Names of `resource` and what is allowed."""
    files: tuple[str, Sequence[int]] | None = None
    """A class of `failing_files` and its arguments."""
    closed: Sequence[int] = ()
    streams: Mapping[str, str] = field(default_factory=dict)
    """Paths that take the place of standard input, output or error."""
    before: str | None = None
    """`module:function`, called before the command."""


class Running:
    """A command that has been started."""

    def __init__(self, *arguments: str, folder: Path, **surroundings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._streams = {name: f"{self._folder.name}/{name}" for name in STREAMS}
        Path(self._streams["stdin"]).touch()
        found = Surroundings(**surroundings)
        asked = {**asdict(found), "streams": {**self._streams, **found.streams}}
        self.pid: int = _asked({"start": list(arguments), "folder": os.fspath(folder), **asked})

    @property
    def said(self) -> str:
        """What stands on standard error so far."""
        path = Path(self._streams["stderr"])
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def send(self, number: int) -> None:
        """Send it a signal; nobody else has its number before `wait`."""
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        code: int = _asked({"wait": self.pid})
        texts = [
            Path(self._streams[name]).read_bytes().decode("utf-8", "backslashreplace")
            if Path(self._streams[name]).exists()
            else ""
            for name in STREAMS[1:]
        ]
        self._folder.cleanup()
        return Ended(code if code >= 0 else 128 - code, *texts)


def run(*arguments: str, folder: Path, **surroundings: Any) -> Ended:
    """Run a command to its end, in `Surroundings`."""
    return Running(*arguments, folder=folder, **surroundings).wait()


@lru_cache(maxsize=1)
def _warm() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    atexit.register(process.communicate)
    return process


def _asked(question: Mapping[str, Any]) -> int:
    process = _warm()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def _serve() -> None:
    """Start children and wait for them, until standard input ends."""
    _warm_up()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                answers.close()
                _become(question.pop("start"), question.pop("folder"), **question)
        answers.write(f"{answer}\n")
        answers.flush()


def _become(
    start: Sequence[str],
    folder: str,
    *,
    variables: Mapping[str, str | None],
    limits: Mapping[str, int],
    files: tuple[str, Sequence[int]] | None,
    closed: Sequence[int],
    streams: Mapping[str, str],
    before: str | None,
) -> None:
    """Be the command line; never returns."""
    code = 70
    try:
        os.chdir(folder)
        _take_streams(streams, closed)
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["prunecli", *start]
        for name, amount in limits.items():
            limit = getattr(resource, name)
            resource.setrlimit(limit, (amount, resource.getrlimit(limit)[1]))
        name, arguments = files or ("Files", ())
        with failing_files.standing_in(getattr(failing_files, name)(*arguments)):
            if before is not None:
                module, _, function = before.partition(":")
                getattr(importlib.import_module(module), function)()
            code = importlib.import_module("prunecli.__main__").main()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        if sys.stderr is not None:
            sys.stderr.flush()
    finally:
        os._exit(code)


def _take_streams(streams: Mapping[str, str], closed: Sequence[int]) -> None:
    """Streams as a new interpreter makes them: None for a closed descriptor."""
    for number, (name, mode) in enumerate(zip(STREAMS, "rww", strict=True)):
        opened = os.open(streams[name], (os.O_WRONLY | os.O_CREAT) if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
        if number in closed:
            os.close(number)
        stream = None if number in closed else os.fdopen(number, mode, closefd=False, encoding="utf-8")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _warm_up() -> None:
    """Load what the commands load, once, in the process that all others come from."""
    from prunecli.architectures.index import shipped_index
    from prunecli.cli.app import application
    from prunecli.cli.run import run as run_once

    application()
    shipped_index()
    for name in (*_LATE, *(f"prunecli.workflows.{each}" for each in _WORKFLOWS)):
        importlib.import_module(name)
    with Path(os.devnull).open("w") as nowhere:
        kept, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), nowhere, nowhere
        run_once(["evaluate", "--quiet"])
        sys.stdout, sys.stderr = kept


if __name__ == "__main__":
    _serve()
