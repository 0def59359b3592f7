"""Console blocks of the documentation: their commands run in this process, their lines compared.

A block is `$ command` lines, each followed by lines that the command must print, on either stream, in any
order. `...` stands for lines left out, `[exit N]` for an exit code other than 0, `^C` for a Ctrl-C in the
second epoch of a training. Figures that depend on the machine (decimals, sums, times) are compared as
figures, not by their value.
"""

from __future__ import annotations

import io
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from prunecli import interruption
from prunecli.cli.run import run

EPOCH_ROW = re.compile(r"\d+ #")
# An epoch of the digits has ten steps.
STEPS_BEFORE_CTRL_C = 12


@dataclass(frozen=True)
class Shown:
    """A command of a page with what it is said to print and its exit code."""

    command: str
    lines: tuple[str, ...]
    exit_code: int
    interrupted: bool = False


@dataclass(frozen=True)
class Ran:
    """What a command printed, and the exit codes of its stages."""

    output: bytes
    notes: str
    exit_codes: tuple[int, ...]

    @property
    def lines(self) -> set[str]:
        """The lines of both streams, comparable."""
        text = self.output.decode("utf-8", errors="replace") + "\n" + self.notes
        return {comparable(line) for line in text.splitlines()}


def shown(text: str) -> list[Shown]:
    """The commands of a console block."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip() and line.strip() != "...":
            found[-1][1].append(line)
    return [_shown(command, lines) for command, lines in found]


def _shown(command: str, lines: list[str]) -> Shown:
    codes = [int(line[6:-1]) for line in lines if re.fullmatch(r"\[exit \d+\]", line)]
    kept = tuple(line for line in lines if not line.startswith("[exit ") and line != "^C")
    return Shown(command, kept, codes[0] if codes else 0, interrupted="^C" in lines)


@contextmanager
def ctrl_c(after: int = STEPS_BEFORE_CTRL_C) -> Iterator[None]:
    """Inside, a training is asked to stop during step `after` (from 1), as the signal handler would."""
    from prunecli.training.stepping import Stepper

    change, done = Stepper.change, 0

    def changed(self: Stepper, lr: float) -> None:
        nonlocal done
        change(self, lr)
        done += 1
        if done == after:
            assert interruption.note(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "change", changed)
        yield


def comparable(line: str) -> str:
    """The line with one blank between words, and `#` for what another machine may print otherwise."""
    text = " ".join(re.sub(r"-{3,}", "-", line).split())
    text = re.sub(r"\b[0-9a-f]{64}\b", "#", text)
    text = re.sub(r"[+\-−]?\b\d[\d,]*(\.\d+)+(e[+-]?\d+)?x?(?=\W|$)|\b\d+e-\d+\b", "#", text)
    if EPOCH_ROW.match(text):
        text = re.sub(r" [\d,]+( best)?$", "", text)  # images a second, and which epoch was the best
    return re.sub(r"^best epoch \d+$", "best epoch #", text)


def execute(command: str) -> Ran:
    """Run a pipeline of prunecli commands, each stage after the one before; `> FILE` takes its output."""
    piped, notes, codes = b"", "", []
    for stage in command.split(" | "):
        words, _, file = stage.partition(" > ")
        program, *arguments = shlex.split(words)
        assert program == "prunecli", command
        code, piped, said = _stage(arguments, piped)
        if file:
            Path(file).write_bytes(piped)
            piped = b""
        notes += said
        codes.append(code)
    return Ran(piped, notes, tuple(codes))


def _stage(arguments: list[str], piped: bytes) -> tuple[int, bytes, str]:
    before = sys.stdin, sys.stdout, sys.stderr, sys.argv
    output, notes = io.BytesIO(), io.BytesIO()
    try:
        sys.stdin = io.TextIOWrapper(io.BytesIO(piped))
        sys.stdout = io.TextIOWrapper(output, encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(notes, encoding="utf-8", write_through=True)
        sys.argv = ["prunecli", *arguments]
        code = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        return code, output.getvalue(), notes.getvalue().decode()
    finally:
        sys.stdin, sys.stdout, sys.stderr, sys.argv = before


def faults(block: str, *, absent: tuple[str, ...] = ()) -> list[str]:
    """What the block says and the commands do not do; those that name a file of `absent` are passed by."""
    found = []
    for item in shown(block):
        if any(name in item.command for name in absent):
            continue
        with ctrl_c() if item.interrupted else nullcontext():
            ran = execute(item.command)
        if ran.exit_codes[-1] != item.exit_code or any(ran.exit_codes[:-1]):
            found.append(f"{item.command}: exit {ran.exit_codes}, not {item.exit_code}: {ran.notes}")
        lines = ran.lines
        found += [f"{item.command}: no line {line!r}" for line in item.lines if comparable(line) not in lines]
    return found
