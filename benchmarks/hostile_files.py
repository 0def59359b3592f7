"""What refusing a bad file costs: seconds and memory of the command line, after `import torch`.

    python benchmarks/hostile_files.py            # the corpus of the tests, and files of about 50 MB
    python benchmarks/hostile_files.py --large    # the large files only

Writes benchmarks/results/hostile_files.md. Each run is a child of its own of a warm process.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "hostile_files.md"
FAMILIES = ("foreign", "headers", "zips", "pickles", "weights", "texts", "odd", "lying")
SECONDS, BYTES = 2.0, 1 << 30
sys.path.insert(0, str(ROOT / "tests"))


@dataclass(frozen=True)
class Measured:
    """One run: what it was, how it ended, and whether that was right."""

    name: str
    file_bytes: int
    code: int
    seconds: float
    peak_bytes: int
    right: bool


def measured(family: str) -> Iterator[Measured]:
    """Every case of a family, run once."""
    from hostile.making import FILE
    from hostile.warm import Warm

    warm = Warm(sources=family == "lying", runs=1)
    for case in importlib.import_module(f"hostile.{family}").CASES:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            name = case.make(folder)
            path = folder / name
            size = sum(each.lstat().st_size for each in folder.iterdir() if each.name == name)
            words = [name if word == FILE else word for word in case.arguments]
            ended = warm.run(*words, folder=folder, stdin=path if case.stdin else None)
        right = ended.code in case.codes and case.says in ended.stderr
        yield Measured(case.name, size, ended.code, ended.seconds, ended.peak_bytes, right)
    warm.close()


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def page(found: dict[str, list[Measured]]) -> str:
    """The table of families and that of the large files."""
    lines = [
        "# What refusing a bad file costs",
        "",
        "Processor seconds and peak memory of one run of the command line in a child, after `import torch`.",
        f"Promised for a file of 50 MB: under {SECONDS:g} s and 1 GB. By `benchmarks/hostile_files.py`.",
        "",
        _row("family", "files", "as expected", "slowest, s", "most memory, MB", "the slowest"),
        _row(*["---"] * 6),
    ]
    for family, runs in found.items():
        worst = max(runs, key=lambda run: run.seconds)
        peak = max(run.peak_bytes for run in runs) >> 20
        right = sum(run.right for run in runs)
        lines.append(
            _row(family, len(runs), right, f"{worst.seconds:.2f}", peak, worst.name.replace("|", "/"))
        )
    if "large" in found:
        lines += ["", _row("large file", "MB", "exit", "s", "peak MB"), _row(*["---"] * 5)]
        for run in sorted(found["large"], key=lambda run: -run.seconds):
            size = f"{run.file_bytes / 1e6:.1f}"
            lines.append(_row(run.name, size, run.code, f"{run.seconds:.2f}", run.peak_bytes >> 20))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, write the page, name what is over the limits; 1 where something is."""
    families = ("large",) if "--large" in sys.argv else (*FAMILIES, "large")
    found = {family: list(measured(family)) for family in families}
    RESULT.write_text(page(found), encoding="utf-8")
    over = [
        run
        for runs in found.values()
        for run in runs
        if not run.right or run.seconds > SECONDS or run.peak_bytes > BYTES
    ]
    for run in over:
        took = f"{run.seconds:.2f} s, {run.peak_bytes >> 20} MB"
        print(f"OVER: {run.name}: exit {run.code}, {took}, {'' if run.right else 'not '}as expected")
    print(f"{sum(map(len, found.values()))} files, {len(over)} over the limits; {RESULT}")
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
