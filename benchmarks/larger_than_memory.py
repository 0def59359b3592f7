"""Memory and seconds of `prunecli prune` on a checkpoint that is read tensor by tensor, beside `cp`.

    python benchmarks/larger_than_memory.py --folder /tmp/large                 10 GB; needs 25 GB of disk
    python benchmarks/larger_than_memory.py --folder /tmp/large --size gb1 --rounds 1

A file of random bfloat16 numbers is made in the shapes of Llama (`wide_llama.py`), then every round copies it
with `cp`, prunes it and scores it, one after the other. The anonymous memory of the command is RssAnon of
/proc, read every 20 ms. Of a 1 GB file the command's two ways, from the disk and held, are measured as well.
Everything made is removed again; the figures go to results/larger_than_memory.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import wide_llama

HERE = Path(__file__).resolve().parent
REPORT = HERE / "results" / "larger_than_memory.md"
MEMORY_OVER_LARGEST, MEMORY_BESIDE = 1.5, 400e6
SLOWER_THAN_CP = 3.0
INTERVAL = 0.02
PIECE = 8 << 20


@dataclass
class Run:
    """One command: wall and processor seconds, the most anonymous memory in bytes, and what it printed."""

    seconds: float
    processor: float
    anonymous: int
    document: dict[str, object] = field(default_factory=dict)


def make(path: Path, size: str) -> int:
    """Write the network of that size with random numbers; the bytes of its largest tensor."""
    with torch.device("meta"):
        state = getattr(wide_llama, size)().bfloat16().state_dict()
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name in sorted(state):
        end = place + 2 * state[name].numel()
        header[name] = {"dtype": "BF16", "shape": [*state[name].shape], "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    stream = np.random.Generator(np.random.SFC64(0))
    with path.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(state):
            middle, spread = (1.0, 0.1) if state[name].dim() == 1 else (0.0, 0.035)  # deviation 0.02
            for start in range(0, state[name].numel(), PIECE):
                count = min(PIECE, state[name].numel() - start)
                numbers = torch.from_numpy(stream.random(count, dtype=np.float32))
                numbers.sub_(0.5).mul_(2 * spread).add_(middle)
                file.write(numbers.bfloat16().view(torch.uint8).numpy().data)
    return max(2 * tensor.numel() for tensor in state.values())


def watched(command: Sequence[str], printed: Path) -> Run:
    """Run a command that prints a JSON document, and watch its anonymous memory."""
    start, most, before = time.perf_counter(), 0, spent_by_children()
    with printed.open("wb") as output, subprocess.Popen(command, stdout=output) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            most = max(most, anonymous(status))
            time.sleep(INTERVAL)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return Run(seconds, spent_by_children() - before, most, json.loads(printed.read_bytes()))


def spent_by_children() -> float:
    """Processor seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def anonymous(status: Path) -> int:
    """RssAnon of a process in bytes, 0 once it has ended."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


def prunecli(*words: str, size: str) -> list[str]:
    """The command line for a network of that size."""
    network = ["--model", f"{HERE / 'wide_llama.py'}:{size}", "--input-shape", "16"]
    return [sys.executable, "-m", "prunecli", *words, *network, "--json", "--quiet"]


def copied(path: Path) -> float:
    """Seconds of `cp`, which does not wait for the disk."""
    target = path.with_suffix(".copy")
    start = time.perf_counter()
    subprocess.run(["cp", path, target], check=True)
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


@dataclass
class Figures:
    """What all rounds of one size came to."""

    size: str
    bytes: int
    largest: int
    copies: list[float] = field(default_factory=list)
    prunings: list[Run] = field(default_factory=list)
    scorings: list[Run] = field(default_factory=list)
    held: Run | None = None

    @property
    def limit(self) -> float:
        """The bytes of anonymous memory that are allowed."""
        return MEMORY_OVER_LARGEST * self.largest + MEMORY_BESIDE


def measured(folder: Path, size: str, rounds: int, criterion: str, *, held: bool) -> Figures:
    """Make the file, run all rounds, and remove what was made."""
    path, small, printed = (folder / name for name in ("large.safetensors", "small.safetensors", "out.json"))
    try:
        largest = make(path, size)
        os.sync()
        found = Figures(size, path.stat().st_size, largest)
        for _ in range(rounds):
            found.copies.append(copied(path))
            words = ["--ratio", "0.5", "--criterion", criterion, "-o", str(small), "--force"]
            command = prunecli("prune", str(path), *words, size=size)
            found.prunings.append(watched([*command, "--stream"], printed))
            score = prunecli("score", str(path), "--criterion", criterion, size=size)
            found.scorings.append(watched([*score, "--stream"], printed))
            found.copies.append(copied(path))
        if held:
            found.held = watched([*command, "--no-stream"], printed)
        return found
    finally:
        for made in (path, small, printed):
            made.unlink(missing_ok=True)


def table(found: Figures) -> list[str]:
    """The figures of one size as lines of Markdown."""
    copy = statistics.median(found.copies)
    rows = [
        ("`cp`", copy, min(found.copies), max(found.copies), None, None),
        *(
            (
                word,
                statistics.median(seconds := [run.seconds for run in runs]),
                min(seconds),
                max(seconds),
                statistics.median(run.processor for run in runs),
                max(run.anonymous for run in runs),
            )
            for word, runs in (("`prune --stream`", found.prunings), ("`score --stream`", found.scorings))
        ),
    ]
    if found.held is not None:
        seconds = found.held.seconds
        rows.append(
            ("`prune --no-stream`", seconds, seconds, seconds, found.held.processor, found.held.anonymous)
        )
    lines = [
        f"## {found.bytes / 1e9:.2f} GB, largest tensor {found.largest / 1e6:.0f} MB, "
        f"{len(found.prunings)} rounds",
        "",
        "| | median s | least | most | of `cp` | GB/s of the file | processor s | anonymous memory, MB |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {word} | {median:.1f} | {least:.1f} | {most:.1f} | {median / copy:.2f} | "
            f"{found.bytes / 1e9 / median:.2f} | {shown(processor)} | {shown(memory and memory / 1e6)} |"
            for word, median, least, most, processor, memory in rows
        ),
        "",
        f"Allowed: {found.limit / 1e6:.0f} MB (1.5 × the largest tensor + 400 MB), 3 × `cp`.",
        "",
    ]
    return [*lines, *stages(found)]


def shown(figure: float | None) -> str:
    """A whole number, or nothing."""
    return "" if figure is None else f"{figure:.0f}"


def stages(found: Figures) -> list[str]:
    """Where the seconds of the last pruning went, and what it says of its proof."""
    document = found.prunings[-1].document
    seconds, output, proof = (dict(document[key]) for key in ("seconds", "output", "verification"))  # type: ignore[call-overload]
    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items() if value)
    moved = found.bytes * 3 + output["bytes"] * 2
    return [
        f"Stages of the last pruning, in seconds: {spent}; the rest is importing torch and the costs.",
        "",
        f"It wrote {output['bytes'] / 1e9:.2f} GB. In all {moved / 1e9:.1f} GB went past: the file three "
        "times (its digest in the background; finite numbers and scores; the cut), the output twice (written "
        f"and synced, read back and hashed). `cp` moves {2 * found.bytes / 1e9:.1f} GB.",
        "",
        f"Proof: {proof['method']}. Largest relative error {proof['max_rel_error']:.1e}.",
        "",
    ]


def verdict(found: Figures) -> str:
    """Whether the two limits were kept."""
    memory = max(run.anonymous for run in found.prunings)
    slower = statistics.median(run.seconds for run in found.prunings) / statistics.median(found.copies)
    kept = memory < found.limit and slower <= SLOWER_THAN_CP
    return (
        f"{found.bytes / 1e9:.2f} GB: {memory / 1e6:.0f} of {found.limit / 1e6:.0f} MB, {slower:.2f} × cp: "
        f"{'kept' if kept else 'NOT KEPT'}"
    )


def machine() -> str:
    """What all of it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB of memory, Python {platform.python_version()}, "
        f"torch {torch.__version__}, threads of torch: {threads}; "
        f"{os.getloadavg()[0]:.1f} processes were running when it began."
    )


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files may be made")
    parser.add_argument("--size", default="gb10", help="a function of wide_llama.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--criterion", default="l2")
    parser.add_argument("--held", default="gb1", help="the size of which both ways are measured; empty: none")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(asked.folder).free < 30e9 and asked.size == "gb10":
        sys.exit("the 10 GB file, its copy and the output need 30 GB of disk")
    sizes = [(asked.size, asked.rounds, False), *([(asked.held, 1, True)] if asked.held else [])]
    lines = ["# Larger than memory", "", f"`{' '.join(['python', *sys.argv[:1]])}`: {machine()}", ""]
    for size, rounds, held in sizes:
        found = measured(asked.folder, size, rounds, asked.criterion, held=held)
        lines += table(found)
        if not held:
            sys.stdout.write(f"{verdict(found)}\n")
            lines += [verdict(found), ""]
    REPORT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
