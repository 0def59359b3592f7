"""One warm process whose forked children run the command line: to import torch each time takes seconds.

`Warm` is the near end; `python warm.py` is the far end, which reads one JSON line a run and answers with one.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ADDRESSES_BYTES = 12 << 30  # torch alone maps some; what asks for 64 GiB fails instead of filling the machine
CPU_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (128 + signal where a signal did it), what it printed, and what it took.

    `seconds` are of processor time, which other work on the machine hardly stretches.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.stderr.splitlines()


class Warm:
    """A process with torch and prunecli loaded, whose children run the command line.

    A child serves `runs` runs, or fewer where one of them kills it: most of a run's time would be its fork.
    With `sources` the packages that networks come from are loaded as well: then nobody waits for their
    import, but every child takes longer to fork.
    """

    def __init__(self, *, sources: bool = False, runs: int = 25) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(runs), *(["sources"] if sources else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, *arguments: str, folder: Path, stdin: Path | None = None) -> Ended:
        """Run `prunecli` with `arguments` in `folder`; standard input is the file `stdin` or empty."""
        asked = {
            "arguments": [os.fspath(word) for word in arguments],
            "folder": os.fspath(folder),
            "stdin": os.fspath(stdin or os.devnull),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the warm process."""
        self._process.communicate()


def _serve(*, runs: int, sources: bool) -> None:
    """Answer runs until standard input ends."""
    _warm_up(sources=sources)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    child = None
    for line in sys.stdin:
        if child is None or not child.left:
            child = _Child.forked(runs)
        answers.write(json.dumps(child.run(line)) + "\n")
        answers.flush()


def _warm_up(*, sources: bool) -> None:
    """Load what every command loads, so that a child's time and memory are its own."""
    import torch

    from prunecli.checkpoints import sample_models
    from prunecli.cli.run import run
    from prunecli.workflows import compare, inspect, prune, score, streamed_prune

    assert all((compare, inspect, prune, score, streamed_prune))
    torch.set_num_threads(1)
    if sources:
        _load_sources()
    with Path(os.devnull).open("w") as nowhere:
        kept, sys.stdout = sys.stdout, nowhere
        run(["inspect", str(next(iter(sample_models().values()))), "--quiet"])
        sys.stdout = kept


def _load_sources() -> None:
    import transformers

    from prunecli.architectures.providers.timm import _timm
    from prunecli.architectures.vision_operators import import_torchvision

    logging.disable(logging.WARNING)
    assert all((import_torchvision(), _timm(), transformers.AutoModelForImageClassification))
    logging.disable(logging.NOTSET)


@dataclass
class _Child:
    """A fork of the warm process that serves some runs, one after the other."""

    number: int
    asks: IO[str]
    answers: IO[str]
    left: int

    @classmethod
    def forked(cls, runs: int) -> _Child:
        """A new one, for at most `runs`."""
        down, up = os.pipe(), os.pipe()
        number = os.fork()
        if not number:
            os.close(down[1])
            os.close(up[0])
            _become(os.fdopen(down[0]), os.fdopen(up[1], "w"))
        os.close(down[0])
        os.close(up[1])
        return cls(number, os.fdopen(down[1], "w"), os.fdopen(up[0]), runs)

    def run(self, asked: str) -> dict[str, Any]:
        """What came of one run; where the child died of it, which signal did it."""
        self.left -= 1
        self.asks.write(asked)
        self.asks.flush()
        answer = self.answers.readline()
        if answer:
            found: dict[str, Any] = json.loads(answer)
            if not self.left:
                self.asks.close()
                os.waitpid(self.number, 0)
                self.answers.close()
            return found
        _, status, usage = os.wait4(self.number, 0)
        self.left = 0
        return {
            "code": 128 + (status & 0x7F),
            "stdout": "",
            "stderr": f"died of signal {status & 0x7F}",
            "seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
        }


def _become(asks: IO[str], answers: IO[str]) -> None:
    """Be the command line, in this child, as often as asked; never returns."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
        for line in asks:
            limit = int(time.process_time()) + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            answers.write(json.dumps(_answer(**json.loads(line))) + "\n")
            answers.flush()
    finally:
        os._exit(0)


def _answer(arguments: Sequence[str], folder: str, stdin: str) -> dict[str, Any]:
    from prunecli.cli.run import run

    streams = [os.memfd_create(name) for name in ("stdout", "stderr")]
    given = os.open(stdin, os.O_RDONLY)
    os.chdir(folder)
    for number, descriptor in enumerate((given, *streams)):
        os.dup2(descriptor, number)
    os.close(given)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - standard streams stay open
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    start = time.process_time()
    code = 70
    try:
        code = run(list(arguments))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return {
        "code": code,
        "stdout": _taken(streams[0]),
        "stderr": _taken(streams[1]),
        "seconds": time.process_time() - start,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _taken(stream: int) -> str:
    os.lseek(stream, 0, os.SEEK_SET)
    with os.fdopen(stream, "rb") as file:
        return file.read().decode("utf-8", "replace")


if __name__ == "__main__":
    _serve(runs=int(sys.argv[1]), sources="sources" in sys.argv)
