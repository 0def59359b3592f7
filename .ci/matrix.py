#!/usr/bin/env python3
"""The suite in each environment of environments.json, one after the other: a row of figures each.

An environment lives in build/matrix/NAME while it is tested. One that cannot be had on this machine is a row
that says why: no such interpreter, or a torch that would bring gigabytes for CUDA (MATRIX_CUDA=1 takes it all
the same; PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL show pip where a CPU build lies).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / ".ci" / "environments.json"
FOLDER = ROOT / "build" / "matrix"
TORCH = ("torch", "torchvision")
HEAD = ("environment", "python", "torch", "numpy", "passed", "failed", "skipped", "seconds", "")
_CUDA = re.compile(r"(nvidia|cuda|triton)\b", re.IGNORECASE)


class NotHere(Exception):
    """An environment that cannot be had on this machine; the words say why."""


class Unfit(Exception):
    """What is to go into an environment does not go together; the words are pip's."""


@dataclass(frozen=True)
class Environment:
    """One row of the table: an interpreter by its version, and the file that bounds what goes into it."""

    name: str
    python: str
    constraints: str

    @property
    def folder(self) -> Path:
        """Where its virtual environment stands while it is tested."""
        return FOLDER / self.name

    @property
    def interpreter(self) -> Path:
        """The python of its virtual environment."""
        return self.folder / "bin" / "python"


@dataclass(frozen=True)
class Outcome:
    """What the tests of an environment came to; None stands for what was not measured."""

    name: str
    python: str
    torch: str = ""
    numpy: str = ""
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    seconds: float | None = None
    note: str = ""

    @property
    def here(self) -> bool:
        """Whether the environment could be had on this machine."""
        return self.passed is not None

    @property
    def good(self) -> bool:
        """Whether tests ran and none failed."""
        return bool(self.passed) and self.failed == 0 and not self.note

    def cells(self) -> list[str]:
        """The row under HEAD."""
        counts = ["" if n is None else str(n) for n in (self.passed, self.failed, self.skipped)]
        seconds = "" if self.seconds is None else f"{self.seconds:.0f}"
        return [self.name, self.python, self.torch, self.numpy, *counts, seconds, self.note]


def environments() -> list[Environment]:
    """All environments, in the order of the table."""
    return [Environment(**row) for row in json.loads(TABLE.read_text(encoding="utf-8"))]


def chosen(names: Sequence[str]) -> list[Environment]:
    """The environments of these names, or all; SystemExit names those that there are."""
    known = {environment.name: environment for environment in environments()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"error: no environment {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def find_interpreter(version: str) -> Path:
    """`pythonVERSION` on the PATH, else the one that pyenv has installed; NotHere without either."""
    tried = [shutil.which(f"python{version}")]
    if shutil.which("pyenv"):
        prefix = subprocess.run(["pyenv", "prefix", version], capture_output=True, text=True, check=False)
        tried.append(f"{prefix.stdout.strip()}/bin/python" if prefix.returncode == 0 else None)
    for place in tried:
        # A shim of pyenv is on the PATH also where its version is not switched on.
        if place and _answer(place, "import sys; print('%d.%d' % sys.version_info[:2])") == version:
            return Path(place)
    raise NotHere(f"no python{version} on the PATH or in pyenv")


def _answer(python: str | Path, code: str) -> str:
    """What a line of Python prints there; empty when it fails."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def cuda_needs(requirements: Sequence[str]) -> list[str]:
    """Those of torch's requirements that bring CUDA."""
    return [line for line in requirements if _CUDA.match(line) and "extra ==" not in line]


def _refuse_cuda(report: Mapping[str, Any]) -> None:
    for package in report["install"]:
        needed = cuda_needs(package["metadata"].get("requires_dist", []))
        if needed:
            what = f"{package['metadata']['name']} {package['metadata']['version']}"
            raise NotHere(f"{what} brings CUDA ({len(needed)} packages)")


class Pip:
    """pip of one environment, bound by its constraints; raises Unfit when pip does not find its way."""

    def __init__(self, environment: Environment) -> None:
        self._python = environment.interpreter
        self._bounds = ("--constraint", str(ROOT / environment.constraints))

    def install(self, *words: str) -> str:
        """What `pip install WORDS` printed; its last line is the note when it fails."""
        command = [str(self._python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        done = subprocess.run(
            [*command, *self._bounds, *words], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Unfit((errors or done.stderr.splitlines() or ["pip failed"])[-1][:150])
        return done.stdout


def build(environment: Environment, *, cuda: bool) -> None:
    """Make the virtual environment: torch, the package and its test extra.

    Raises NotHere when this machine has no such interpreter or torch, Unfit when the rest does not fit it.
    """
    python = find_interpreter(environment.python)
    subprocess.run([python, "-m", "venv", "--clear", environment.folder], check=True)
    pip = Pip(environment)
    # Looked at without what it needs: pip fetches all that before it tells.
    try:
        pip.install("--upgrade", "pip")
        look = pip.install("--dry-run", "--no-deps", "--report", "-", *TORCH)
    except Unfit as reason:
        raise NotHere(str(reason)) from None
    if not cuda:
        _refuse_cuda(json.loads(look))
    pip.install(*TORCH)
    pip.install("--editable", ".[test]")


def count(junit: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of a JUnit file; errors count as failed."""
    sums = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(junit).getroot().iter("testsuite"):
        for name in sums:
            sums[name] += int(suite.get(name, 0))
    failed = sums["failures"] + sums["errors"]
    return sums["tests"] - failed - sums["skipped"], failed, sums["skipped"]


def test(environment: Environment, *, arguments: Sequence[str], jobs: str) -> Outcome:
    """Run the tests there; what pytest prints goes to build/matrix/NAME.log, its JUnit file lies beside."""
    junit, log = FOLDER / f"{environment.name}.xml", FOLDER / f"{environment.name}.log"
    junit.unlink(missing_ok=True)
    command = [str(environment.interpreter), "-m", "pytest", "-n", jobs, "-p", "no:cacheprovider"]
    command += [f"--junitxml={junit}", *arguments]
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        code = subprocess.call(command, cwd=ROOT, env=single, stdout=stream, stderr=subprocess.STDOUT)
    seconds = time.monotonic() - began
    passed, failed, skipped = count(junit) if junit.is_file() else (0, 0, 0)
    version = "from importlib.metadata import version; print(version('{}'))"
    return Outcome(
        environment.name,
        _answer(environment.interpreter, "import platform; print(platform.python_version())"),
        torch=_answer(environment.interpreter, version.format("torch")),
        numpy=_answer(environment.interpreter, version.format("numpy")),
        passed=passed,
        failed=failed,
        skipped=skipped,
        seconds=seconds,
        note="" if code == 0 or failed else f"pytest ended with {code}: see {log.relative_to(ROOT)}",
    )


def visit(environment: Environment, *, arguments: Sequence[str], jobs: str, keep: bool) -> Outcome:
    """Build, test and take away one environment; one that was kept is used as it is."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        if not (keep and environment.interpreter.exists()):
            build(environment, cuda=os.environ.get("MATRIX_CUDA", "0") != "0")
        return test(environment, arguments=arguments, jobs=jobs)
    except NotHere as reason:
        return Outcome(environment.name, environment.python, note=f"not here: {reason}")
    except Unfit as reason:
        return Outcome(environment.name, environment.python, passed=0, note=f"not installed: {reason}")
    finally:
        if not keep:
            shutil.rmtree(environment.folder, ignore_errors=True)


def lines(outcomes: Sequence[Outcome]) -> list[str]:
    """The table as lines, columns aligned."""
    rows = [list(HEAD), *(outcome.cells() for outcome in outcomes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def main(words: Sequence[str]) -> int:
    """Run what the command line says; 1 when tests failed, none ran, or a named environment cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the table; all when left out")
    parser.add_argument("--tests", default="", help="arguments for pytest; -m 'not slow' when left out")
    parser.add_argument("--jobs", default="2", help="test processes (2)")
    parser.add_argument("--keep", action="store_true", help="leave environments, use those that were left")
    given = parser.parse_args(words)
    arguments = shlex.split(given.tests) or ["-m", "not slow"]
    outcomes = []
    for environment in chosen(given.names):
        print(f"{environment.name} ...", file=sys.stderr, flush=True)
        outcomes.append(visit(environment, arguments=arguments, jobs=given.jobs, keep=given.keep))
    print("\n".join(lines(outcomes)))
    must = outcomes if given.names else [outcome for outcome in outcomes if outcome.here]
    return 0 if must and all(outcome.good for outcome in must) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
