"""Which architectures of a zoo are pruned and proved: one process a model, a JSON line each, resumable.

    python benchmarks/coverage.py --zoo torchvision            what is not in the results yet
    python benchmarks/coverage.py --zoo torchvision --table    the table of what is there

Each model gets random weights, batch-norm scales, shifts and statistics that hide no mistake, loses half of
every prunable group, and is compared with the masked original in float64, in inference and training mode.
"pruned" asks for at least 40 % fewer parameters.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
RATIO = 0.5
ENOUGH = 0.4


def names_of(zoo: str) -> list[str]:
    """The zoo's architectures; of timm one small variant of each module."""
    from prunecli.architectures import known_names

    names = [name for name in known_names() if name.startswith(f"{zoo}/")]
    return list(_one_a_module(names)) if zoo == "timm" else names


def _one_a_module(names: list[str]) -> Iterator[str]:
    from prunecli.torchvision_import import load_torchvision

    load_torchvision()
    from timm.models import model_entrypoint

    small = [
        "atto",
        "femto",
        "pico",
        "nano",
        "tiny",
        "xxs",
        "xs",
        "050",
        "s0",
        "small",
        "_s_",
        "b0",
        "18",
        "26",
        "_s",
    ]
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(model_entrypoint(name.partition("/")[2]).__module__, []).append(name)
    for found in modules.values():
        yield min(
            found, key=lambda name: (next((i for i, s in enumerate(small) if s in name), 99), len(name))
        )


def try_one(name: str) -> dict[str, Any]:
    """Prune and prove one architecture in this process; the row of the results."""
    import torch

    from prunecli.architectures import build, resolve
    from prunecli.graph.channel_graph import build_graph
    from prunecli.surgery.cutting import carry_out
    from prunecli.surgery.planning import make_plan
    from prunecli.surgery.verification import verify

    torch.set_num_threads(1)
    start = time.perf_counter()
    architecture = resolve(name)
    model = build(architecture)
    _randomise(model)
    graph = build_graph(model, architecture.input_shape)
    traced = time.perf_counter()
    chosen = {group.name: range(0, 2 * (group.channels // 2), 2) for group in graph.prunable}
    planned = make_plan(graph, chosen)
    cut = carry_out(planned.plan, copy.deepcopy(model))
    done = time.perf_counter()
    removed = {group.name: group.removed for group in planned.plan.groups}
    found = verify(graph, model, cut, removed)
    before, after = (sum(p.numel() for p in each.parameters()) for each in (model, cut))
    return {
        "name": name,
        "pruned": found.equivalent and 1 - after / before >= ENOUGH,
        "equivalent": found.equivalent,
        "error": found.max_rel_error if found.max_rel_error < float("inf") else None,
        "params_cut": 1 - after / before,
        "channels": sum(
            group.channels for group in graph.groups if group.prunable or group.name in planned.protected
        ),
        "protected": dict(list(planned.protected.items())[:3]),
        "unknown": list(graph.propagation.unknown),
        "seconds": {
            "build_and_trace": traced - start,
            "plan_and_cut": done - traced,
            "verify": time.perf_counter() - done,
        },
    }


def _randomise(model: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("var") or (tensor.dim() == 1 and "weight" in name):
                tensor.copy_(noise.abs() + 0.5)
            else:
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 4
                tensor.copy_(noise * (2 / max(1, fan_in)) ** 0.5)


def run(zoo: str, *, seconds: int, only: list[str]) -> None:
    """Try what the results do not hold yet, each in a process of its own."""
    path = RESULTS / f"coverage_{zoo}.jsonl"
    known = {json.loads(line)["name"] for line in path.read_text().splitlines()} if path.exists() else set()
    for name in [name for name in names_of(zoo) if name not in known and (not only or name in only)]:
        command = [sys.executable, __file__, "--one", name]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
            lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
            row = json.loads(lines[-1]) if lines else {"name": name, "failure": _last(ran.stderr)}
        except subprocess.TimeoutExpired:
            row = {"name": name, "failure": f"not done after {seconds} s"}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(_state(row), name, flush=True)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "ended without a word"


def _state(row: dict[str, Any]) -> str:
    if "failure" in row:
        return "refused or failed"
    if not row["equivalent"]:
        return "not equivalent"
    return "pruned" if row["pruned"] else "pruned in part"


def table(zoo: str) -> None:
    """Print the results as Markdown: counts, then every row."""
    rows = [json.loads(line) for line in (RESULTS / f"coverage_{zoo}.jsonl").read_text().splitlines()]
    states = [_state(row) for row in rows]
    for state in dict.fromkeys(states):
        print(f"- {state}: {states.count(state)} of {len(rows)}")
    print("\n| architecture | state | parameters cut | relative error | remarks |\n|---|---|---:|---:|---|")
    for row in sorted(rows, key=lambda row: row["name"]):
        cut = f"{row['params_cut']:.0%}" if "params_cut" in row else ""
        error = f"{row['error']:.0e}" if row.get("error") is not None else ""
        remark = row.get("failure") or next(iter(row.get("protected", {}).values()), "")
        print(f"| {row['name']} | {_state(row)} | {cut} | {error} | {remark[:110].replace('|', '/')} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", choices=["cifar", "torchvision", "timm"])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=120, help="the bound for one model")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        print(json.dumps(try_one(given.one)))
    elif given.table:
        table(given.zoo)
    else:
        run(given.zoo, seconds=given.seconds, only=given.only)


if __name__ == "__main__":
    main()
