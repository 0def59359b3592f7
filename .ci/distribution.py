#!/usr/bin/env python3
"""Build wheel and sdist into dist/, and use the wheel in a fresh environment outside of the checkout.

The environment takes its releases from constraints.txt; DISTRIBUTION_PYTHON=PATH takes an interpreter that
has torch and the rest already, and puts only the wheel beside it. Ends with 1 at the first thing amiss.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
# What a wheel without any Python file missing could still lack.
IN_WHEEL = (
    "prunecli/py.typed",
    "prunecli/architectures/index.json.gz",
    "prunecli/reports/templates/report.html",
    "prunecli/reports/templates/report.css",
    "prunecli/reports/templates/report.js",
    "prunecli/sample_models/resnet8-digits.safetensors",
)
IN_SDIST = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "Makefile",
    "tests/test_supply.py",
    ".ci/run",
)
# Each command runs in an empty folder, where nothing of the checkout can be found.
COMMANDS = (
    ("--version",),
    ("catalog", "criteria"),
    ("inspect",),
    ("prune", "--ratio", "0.5", "--output", "x.safetensors", "--report", "x.md"),
    ("evaluate", "x.safetensors", "--json"),
)
LOADING = """
import json, prunecli, torch
model = prunecli.load("x.safetensors")
print(json.dumps({"where": prunecli.__file__, "shape": list(model(torch.zeros(2, 1, 8, 8)).shape)}))
"""


def run(*words: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What a command printed; SystemExit with its errors when it fails."""
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def environment(folder: Path) -> Path:
    """The python of a new virtual environment there."""
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, newly made; the wheel is made from the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    python = environment(folder / "builder")
    run(python, "-m", "pip", "install", "--quiet", "build>=1.2")
    run(python, "-m", "build", "--outdir", DIST, ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def missing(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """What of the wanted is not there."""
    return sorted(set(wanted) - set(names))


def unwanted(names: Sequence[str]) -> list[str]:
    """What a wheel of this package has no business to hold."""
    return [
        name
        for name in names
        if name.endswith(".pyc") or not name.startswith(("prunecli/", "prunecli-")) or "/tests/" in name
    ]


def check_contents(wheel: Path, sdist: Path) -> None:
    """SystemExit when a file is missing, or one is there that should not be."""
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    with tarfile.open(sdist) as archive:
        packed = [name.partition("/")[2] for name in archive.getnames()]
    sources = [path.relative_to(ROOT).as_posix() for path in (ROOT / "prunecli").rglob("*.py")]
    faults = [
        *(f"{wheel.name} lacks {name}" for name in missing(inside, (*IN_WHEEL, *sources))),
        *(f"{wheel.name} holds {name}" for name in unwanted(inside)),
        *(f"{sdist.name} lacks {name}" for name in missing(packed, IN_SDIST)),
    ]
    if faults:
        raise SystemExit("\n".join(f"error: {fault}" for fault in faults))


@contextmanager
def installed(wheel: Path, folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """An interpreter that has the wheel, and the variables to start it with."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    given = os.environ.get("DISTRIBUTION_PYTHON")
    if given:
        target = folder / "packages"
        run(given, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
        yield Path(given), {**variables, "PYTHONPATH": str(target)}
        return
    python = environment(folder / "user")
    pip = (python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS)
    run(*pip, "torch", "torchvision")
    run(*pip, wheel)
    yield python, variables


def use(python: Path, variables: Mapping[str, str], folder: Path) -> None:
    """Run the commands and load what they wrote; SystemExit when one fails or the checkout served instead."""
    place = folder / "elsewhere"
    place.mkdir()
    for words in COMMANDS:
        run(python, "-m", "prunecli", *words, cwd=place, env=variables)
        print(f"prunecli {' '.join(words)}", flush=True)
    found = json.loads(run(python, "-c", LOADING, cwd=place, env=variables))
    if Path(found["where"]).is_relative_to(ROOT) or found["shape"] != [2, 10]:
        raise SystemExit(f"error: the wheel was not what ran: {found}")
    if not (python.parent / "prunecli").exists():
        raise SystemExit(f"error: no script named prunecli beside {python}")


def main() -> int:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory(prefix="prunecli-") as name:
        folder = Path(name)
        wheel, sdist = build(folder)
        check_contents(wheel, sdist)
        with installed(wheel, folder) as (python, variables):
            use(python, variables, folder)
    print(f"{wheel.name} ({wheel.stat().st_size:,} bytes), {sdist.name} ({sdist.stat().st_size:,} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
