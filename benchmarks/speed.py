"""How long trace, l2 scores, plan and surgery take, against Torch-Pruning in the same run; and peak memory.

    python benchmarks/speed.py                     all networks, five rounds, both tools in turn
    python benchmarks/speed.py --only resnet50     one of them
    python benchmarks/speed.py --table             the table of what is there

Each figure is of a fresh process on one thread that has pruned a tiny network first, so that what either tool
loads on first use is no part of it. Building the network is none either. Seconds are of the processor; wall
seconds are kept beside them. The floor is the time in which the bytes of the weights that must be read, and
those of the pruned copy that must be written, pass through memory at the rate at which this machine copies.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "speed.jsonl"
NETWORKS = """
    resnet18 resnet50 resnet152 vgg16_bn densenet121 densenet201 mobilenet_v2 efficientnet_b0 efficientnet_b7
    convnext_tiny convnext_large regnet_y_16gf vit_b_16 swin_t maxvit_t
""".split()  # noqa: SIM905
RATIO = 0.5
SIDES = ("ours", "verified", "peer")
ROUNDS, BOUND = 5, 60


def one(name: str, side: str) -> dict[str, Any]:
    """One measurement in this process."""
    import torch

    from prunecli.architectures import build, resolve

    importlib.import_module("torch._dynamo")  # some of torch's shape functions load it when first called
    torch.set_num_threads(1)
    architecture = resolve(f"torchvision/{name}")
    model = build(architecture)
    act = _peer if side == "peer" else _ours
    act(_tiny(), (3, 16, 16), verified=side == "verified")
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    before = sum(p.numel() for p in model.parameters())
    at_first = _peak()
    cpu, wall = time.process_time(), time.perf_counter()
    stages = act(model, architecture.input_shape, verified=side == "verified")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    left = sum(p.numel() for p in model.parameters())
    return {
        "cpu": cpu,
        "wall": wall,
        "stages": stages,
        "params_cut": 1 - left / before,
        "model_bytes": size,
        "peak_before_bytes": at_first,
        "peak_bytes": _peak(),
        "copy_bytes_per_second": _copy_rate(),
    }


def _tiny() -> Any:
    """A network that has a little of everything."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 32),
        nn.LayerNorm(32),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(32, 10),
    )


def _ours(model: Any, shape: tuple[int, ...], *, verified: bool) -> dict[str, float]:
    import copy

    from prunecli.allocation.choosing import allocate
    from prunecli.graph.channel_graph import build_graph
    from prunecli.scoring.filter_scores import score_filters
    from prunecli.scoring.group_scores import score_groups
    from prunecli.surgery.cutting import carry_out
    from prunecli.surgery.planning import make_plan
    from prunecli.surgery.verification import prove

    clock = [time.process_time()]
    graph = build_graph(model, shape)
    clock.append(time.process_time())
    filters = score_filters(model, graph, ["l2"])
    scores = score_groups(graph.prunable, graph.layers, filters, "l2")
    clock.append(time.process_time())
    chosen = allocate(graph, scores, ratio=RATIO)
    planned = make_plan(graph, chosen.removed)
    clock.append(time.process_time())
    whole = copy.deepcopy(model) if verified else None
    carry_out(planned.plan, model)
    clock.append(time.process_time())
    if whole is not None:
        removed = {group.name: group.removed for group in planned.plan.groups}
        prove(graph, whole, model, removed, scalings=planned.plan.scalings)
        clock.append(time.process_time())
    names = ("trace", "score", "plan", "surgery", "verify")
    return {name: end - start for name, start, end in zip(names, clock, clock[1:], strict=False)}


def _peer(model: Any, shape: tuple[int, ...], *, verified: bool) -> dict[str, float]:
    import torch
    from coverage_peer import prune

    last = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1:]
    prune(model.eval(), (torch.randn(1, *shape),), ratio=RATIO, outputs=last)
    return {}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _copy_rate() -> float:
    """Bytes a second, read and written, of copying a tensor of 256 MB: the best of five."""
    import torch

    source = torch.ones(64 << 20)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * source.numel() * 4 / (time.perf_counter() - start))
    return best


def run(only: list[str], rounds: int, sides: list[str]) -> None:
    """All measurements, the tools in turn; what fails once is not tried again."""
    known = [json.loads(line) for line in RESULT.read_text().splitlines()] if RESULT.exists() else []
    for name in only or NETWORKS:
        failed: set[str] = set()
        for number in range(rounds):
            for side in sides:
                done = {(row["name"], row["side"], row["round"]) for row in known}
                if side in failed or (name, side, number) in done:
                    continue
                row = {"name": name, "side": side, "round": number, **_measured(name, side)}
                if "failure" in row or row.get("cpu", 0) > BOUND / 8:  # so slow that once says enough
                    failed.add(side)
                with RESULT.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, side, number, row.get("failure") or f"{row['cpu']:.2f}", flush=True)


def _measured(name: str, side: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, "--side", side]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    except subprocess.TimeoutExpired:
        return {"failure": f"not done after {BOUND} s"}
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    last = (ran.stderr.strip().splitlines() or ["ended without a word"])[-1]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {"failure": last[:200]}
    return found


def table() -> None:
    """Print the results as Markdown."""
    rows = [json.loads(line) for line in RESULT.read_text().splitlines()]
    print("| network | ours s | proof s more | peer s | peer ÷ ours | floor s | peak MB | allowed MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    ratios = []
    for name in dict.fromkeys(row["name"] for row in rows):
        of = {side: [r for r in rows if r["name"] == name and r["side"] == side] for side in SIDES}
        ours = [row for row in of["ours"] if "cpu" in row]
        if not ours:
            continue
        mine = statistics.median(row["cpu"] for row in ours)
        proof = [row["stages"]["verify"] for row in of["verified"] if "stages" in row]
        peer = [row["cpu"] for row in of["peer"] if "cpu" in row]
        ratio = statistics.median(peer) / mine if peer else float("inf")
        ratios.append(ratio)
        moved = ours[0]["model_bytes"] * (2 + 2 * (1 - ours[0]["params_cut"]))  # scored, read again, written
        floor = moved / statistics.median(row["copy_bytes_per_second"] for row in ours)
        failure = of["peer"][0].get("failure", "")[:40] if of["peer"] else ""
        cells = [
            name,
            f"{mine:.2f}",
            f"{statistics.median(proof):.2f}" if proof else "",
            f"{statistics.median(peer):.2f}" if peer else f"none: {failure}",
            f"{ratio:.1f}" if peer else "",
            f"{floor:.3f}",
            f"{max(row['peak_bytes'] for row in ours) / 1e6:.0f}",
            f"{(ours[0]['model_bytes'] * 1.6 + 350e6) / 1e6:.0f}",
        ]
        print("| " + " | ".join(cells) + " |")
    median = statistics.median(ratios)
    print(f"\nMedian of peer ÷ ours (what the peer cannot do counts as endless): {median:.1f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=SIDES)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        print(json.dumps(one(given.one, given.side)))
    elif given.table:
        table()
    else:
        run(given.only, given.rounds, given.sides)


if __name__ == "__main__":
    main()
