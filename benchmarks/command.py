"""How long a whole `prunecli prune` takes, from the shell to the verified file, against importing torch.

    python benchmarks/command.py                   ResNet-50 of torchvision, seven rounds
    python benchmarks/command.py --network NAME --rounds N

Both commands run in turn in fresh processes. Compiled bytecode is kept in a folder of its own, as an
installed package has it; the first run of each, which fills it, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "command.md"
TORCH = [sys.executable, "-c", "import torch"]
HEAD = """# A whole command

`python benchmarks/command.py`: a file of {megabytes:.0f} MB by
`prunecli prune {network}.safetensors --ratio 0.5 --scope local -o small.safetensors`, against
`python -c "import torch"`; {rounds} rounds in turn, {cores} cores, Python {python}, torch {torch};
{load:.1f} processes were running when it began.

| | median s | least s | most s | processor s |
|---|---:|---:|---:|---:|
"""


def main() -> None:
    """Measure, print and keep."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--network", default="torchvision/resnet50")
    asked.add_argument("--rounds", type=int, default=7)
    given = asked.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "big.safetensors", Path(folder) / "small.safetensors"
        _write(given.network, source)
        prune = [sys.executable, "-m", "prunecli", "prune", str(source)]
        prune += ["--ratio", "0.5", "--scope", "local", "-o", str(target), "--force", "--json"]
        places = {"PYTHONPYCACHEPREFIX": f"{folder}/bytecode", "PYTHONDONTWRITEBYTECODE": ""}
        rows = _rounds(
            {"import torch": TORCH, "prunecli prune": prune}, given.rounds, {**os.environ, **places}
        )
        stages = json.loads((Path(folder) / "out.json").read_text())["seconds"]
        text = HEAD.format(
            network=given.network.rpartition("/")[2],
            megabytes=source.stat().st_size / 1e6,
            rounds=given.rounds,
            cores=os.cpu_count(),
            python=platform.python_version(),
            torch=_version(),
            load=load,
        )
    for name, runs in rows.items():
        wall, cpu = ([run[i] for run in runs] for i in (0, 1))
        figures = statistics.median(wall), min(wall), max(wall), statistics.median(cpu)
        text += f"| `{name}` | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |\n"
    ratio = [ours[0] / bare[0] for bare, ours in zip(*rows.values(), strict=True)]
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items() if seconds >= 0.005)
    text += f"\nMedian ratio of the rounds: {statistics.median(ratio):.2f}"
    text += f" ({min(ratio):.2f} to {max(ratio):.2f}), 2.0 asked.\n"
    text += f"Of the last run, in seconds: {parts}; the rest is imports, reading, writing.\n"
    sys.stdout.write(text)
    RESULT.write_text(text)


def _write(network: str, target: Path) -> None:
    """A checkpoint of the network with random weights, by a process of its own."""
    code = (
        "import sys; from safetensors.torch import save_file; "
        "from prunecli.architectures import build, resolve; "
        "save_file(build(resolve(sys.argv[1])).state_dict(), sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, network, str(target)], check=True, stderr=subprocess.DEVNULL)


def _version() -> str:
    code = "import torch; print(torch.__version__)"
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def _rounds(
    commands: dict[str, Sequence[str]], rounds: int, environment: dict[str, str]
) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each round, by command."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            ran = subprocess.run(command, check=True, capture_output=True, env=environment)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if number:
                found[name].append((wall, cpu))
            if ran.stdout:
                (Path(environment["PYTHONPYCACHEPREFIX"]).parent / "out.json").write_bytes(ran.stdout)
    return found


if __name__ == "__main__":
    main()
