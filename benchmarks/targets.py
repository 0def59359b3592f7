"""How near targets are met on whole networks, and how long it takes to find out.

    python benchmarks/targets.py                 all networks, kept in benchmarks/results/targets.md
    python benchmarks/targets.py --only resnet50

Random weights, l2, every scope that ranks, widths as they come and in multiples of 8. The cut is planned and
carried out on shapes, and its MACs and parameters are counted anew by `torch.utils.flop_counter`'s formulas.
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
from prunecli.cost.macs import measure
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.meta import meta_copy
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.workflows.aiming import take_aim
from prunecli.workflows.gauges import Gauged, gauge_of

RESULTS = Path(__file__).parent / "results"
NETWORKS = (
    *("resnet18", "resnet50", "vgg16_bn", "mobilenet_v2", "efficientnet_b0", "densenet121", "googlenet"),
    *("regnet_y_400mf", "shufflenet_v2_x1_0", "convnext_tiny", "vit_b_16", "swin_t"),
)
TARGETS = ("macs=0.7", "macs=0.5", "macs=0.3", "params=0.5")
SCOPES = ("local", "global", "isomorphic")
MULTIPLES = (1, 8)


def rows_of(name: str) -> list[dict[str, Any]]:
    """Every target of one network."""
    architecture = resolve(f"torchvision/{name}")
    torch.manual_seed(0)
    model = build(architecture).eval()
    shape = architecture.input_shape
    graph = build_graph(model, shape)
    scores = score_groups(graph.prunable, graph.layers, score_filters(model, graph, ["l2"]), "l2")
    gauged = Gauged(graph=graph, model=model, file_bytes=lambda plan: 0, device="cpu", batch=1)
    before = measure(model, shape)
    rows = []
    for text in TARGETS:
        target = read_target(text)
        for scope in SCOPES:
            for multiple in MULTIPLES:
                bounds = Bounds(round_to=multiple)

                def choose(
                    goal: Goal, left_out: Mapping[str, str], scope: str = scope, bounds: Bounds = bounds
                ) -> Allocation:
                    return allocate(graph, scores, goal=goal, bounds=bounds, scope=scope, left_out=left_out)

                start = time.perf_counter()
                aim = take_aim(
                    target,
                    gauge_of(target.kind, gauged),
                    choose=choose,
                    plan=lambda removed: make_plan(graph, removed),
                    tell=lambda line: None,
                )
                seconds = time.perf_counter() - start
                after = measure(carry_out(aim.planned.plan, meta_copy(model)), shape)
                share = getattr(after, target.kind) / getattr(before, target.kind)
                rows.append(
                    {
                        "network": name,
                        "target": text,
                        "scope": scope,
                        "multiple": multiple,
                        "share": share,
                        "asked": float(target.amount),
                        "met": aim.is_met(getattr(after, target.kind)),
                        "seconds": seconds,
                    }
                )
    print(name, [round(row["share"], 4) for row in rows], flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown: for each network how far below the targets it came."""
    met = sum(row["met"] for row in rows)
    over = sum(row["share"] > row["asked"] for row in rows)
    lines = [
        "# How near targets are met",
        "",
        f"{met} of {len(rows)} targets are met within 1 % from below, {over} are passed. Random weights, l2; "
        f"targets {', '.join(TARGETS)}; scopes {', '.join(SCOPES)}; widths in multiples of "
        f"{' and '.join(str(each) for each in MULTIPLES)}. What counts are the figures of the cut network.",
        "",
        "Made by `python benchmarks/targets.py`.",
        "",
        "| network | met | median distance below | largest distance below | seconds (median, most) |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        below = sorted(100 * (1 - row["share"] / row["asked"]) for row in own)
        seconds = sorted(row["seconds"] for row in own)
        lines.append(
            f"| {name} | {sum(row['met'] for row in own)} of {len(own)} | {below[len(below) // 2]:.2f} % | "
            f"{below[-1]:.2f} % | {seconds[len(seconds) // 2]:.2f}, {seconds[-1]:.2f} |"
        )
    missed = [row for row in rows if not row["met"]]
    if missed:
        lines += ["", "Not met:", ""]
        lines += [
            f"- {row['network']}, {row['target']}, {row['scope']}, x {row['multiple']}: {row['share']:.4f}"
            for row in missed
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    parser.add_argument("--result", type=Path, default=RESULTS / "targets.json")
    given = parser.parse_args()
    rows = [row for name in given.only for row in rows_of(name)]
    given.result.write_text(json.dumps(rows, indent=1) + "\n")
    given.result.with_suffix(".md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
