"""How near latency targets are met on this machine, and what a second measurement says of them.

    python benchmarks/latency_targets.py             all networks, kept in benchmarks/results/
    python benchmarks/latency_targets.py --only mobilenet_v2

Random weights, l2, local scope, one thread, batch 8, widths in multiples of 8. A target is met by what was
measured; the cut network is then timed beside the whole one once more, and that is the last column.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import Allocation, allocate
from prunecli.allocation.goals import Goal
from prunecli.allocation.targets import read_target
from prunecli.architectures import build, resolve
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.surgery.planning import make_plan
from prunecli.workflows.aiming import take_aim
from prunecli.workflows.gauges import Gauged, gauge_of

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("resnet18", "resnet50", "vgg16_bn", "mobilenet_v2")
SHARES = (0.7, 0.6, 0.5)
BATCH, MULTIPLE = 8, 8


def rows_of(name: str) -> list[dict[str, Any]]:
    """Every target of one network."""
    architecture = resolve(f"torchvision/{name}")
    torch.manual_seed(0)
    model = build(architecture).eval()
    graph = build_graph(model, architecture.input_shape)
    scores = score_groups(graph.prunable, graph.layers, score_filters(model, graph, ["l2"]), "l2")
    gauged = Gauged(graph=graph, model=model, file_bytes=lambda plan: 0, device="cpu", batch=BATCH)

    def choose(goal: Goal, left_out: Mapping[str, str]) -> Allocation:
        return allocate(graph, scores, goal=goal, bounds=Bounds(round_to=MULTIPLE), left_out=left_out)

    rows = []
    for share in SHARES:
        start = time.perf_counter()
        target, gauge = read_target(f"latency={share}"), gauge_of("latency", gauged)
        aim = take_aim(
            target,
            gauge,
            choose=choose,
            plan=lambda removed: make_plan(graph, removed),
            tell=lambda line: None,
        )
        seconds = time.perf_counter() - start
        plan = aim.planned.plan
        rows.append(
            {
                "network": name,
                "asked": share,
                "reached": aim.reached / gauge.before,
                "met": aim.is_met(aim.reached),
                "again": gauge.of_plan(plan) / gauge.before,
                "macs": macs_left(graph, plan.removed) / macs_left(graph, {}),
                "seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    met = sum(row["met"] for row in rows)
    lines = [
        "# How near latency targets are met",
        "",
        f"{met} of {len(rows)} are met within 1 % from below. Random weights, l2, local scope, one thread, "
        f"batch {BATCH}, widths in multiples of {MULTIPLE}. Shares of the whole network's latency, "
        "timed side by side; `again` is a second measurement of the same cut.",
        "",
        "Made by `python benchmarks/latency_targets.py`.",
        "",
        "| network | asked | reached | again | MACs that stay | seconds to find out |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['network']} | {row['asked']} | {row['reached']:.3f}{'' if row['met'] else ', not met'} "
        f"| {row['again']:.3f} | {row['macs']:.3f} | {row['seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    parser.add_argument("--result", type=Path, default=RESULTS / "latency_targets.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in given.only for row in rows_of(name)]
    given.result.write_text(json.dumps(rows, indent=1) + "\n")
    given.result.with_suffix(".md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
