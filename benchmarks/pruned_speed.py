"""How much faster networks of half the MACs are on this machine, ours and Torch-Pruning's in the same rounds.

    python benchmarks/pruned_speed.py                        three networks, batch 16, all backends
    python benchmarks/pruned_speed.py --only mobilenet_v2 --batch 2 --seconds 5 --backends eager
    python benchmarks/pruned_speed.py --table                the table of what is there

Each network (random weights) is pruned by l2 so that half of the MACs stay: by prunecli (`--target macs=0.5`)
with the widths that this machine likes (`--round-to auto`) and with any widths, by Torch-Pruning at the ratio
that bisection finds, as it comes and with the same multiple. One more of ours takes more from groups whose
channels cost more time than their MACs say (`--scope latency`, by a table of eager torch). All of them and
the whole network are
timed in interleaved rounds. What counts is the measured speed-up over the theoretical one, by MACs.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import allocate
from prunecli.allocation.counting import BY_LATENCY, LOCAL
from prunecli.allocation.goals import Goal
from prunecli.architectures import build, resolve
from prunecli.cost.macs import measure
from prunecli.graph.calling import calling_of
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.graph.meta import meta_copy
from prunecli.latency.backends import BACKENDS, ONNX, Run, onnx_run
from prunecli.latency.layers import LatencyTable
from prunecli.latency.measuring import threads_set
from prunecli.latency.memory import memory_kept
from prunecli.latency.saving import machine_facts
from prunecli.latency.savings import seconds_per_mac
from prunecli.latency.timing import ratio_of, time_side_by_side
from prunecli.latency.widths import liked_widths
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("resnet50", "vgg16_bn", "mobilenet_v2")
MACS_LEFT = 0.5
STEPS = 12  # of the bisection
GOAL = 0.9


def ours(
    model: nn.Module, graph: ChannelGraph, *, multiple: int, weights: dict[str, float] | None = None
) -> nn.Module:
    """The network at half its MACs, cut by prunecli; widths are multiples of `multiple`.

    With `weights` heavier groups lose more (`--scope latency`); without them all lose the same share.
    """
    scores = score_groups(graph.prunable, graph.layers, score_filters(model, graph, ["l2"]), "l2")
    whole = macs_left(graph, {})
    chosen = allocate(
        graph,
        scores,
        goal=Goal(before=whole, limit=MACS_LEFT * whole, left=macs_left),
        bounds=Bounds(round_to=multiple),
        scope=BY_LATENCY if weights else LOCAL,
        weights=weights,
    )
    return carry_out(make_plan(graph, chosen.removed).plan, copy.deepcopy(model))


def peers(model: nn.Module, shape: tuple[int, ...], *, multiple: int | None) -> nn.Module:
    """The same by Torch-Pruning."""
    import torch_pruning as tp

    def cut(ratio: float) -> nn.Module:
        made = copy.deepcopy(model)
        last = [module for module in made.modules() if isinstance(module, nn.Linear)][-1:]
        tp.pruner.MagnitudePruner(
            made,
            torch.randn(1, *shape),
            importance=tp.importance.MagnitudeImportance(p=2),
            pruning_ratio=ratio,
            round_to=multiple,
            ignored_layers=last,
        ).step()
        return made

    whole = measure(model, shape).macs
    return cut(_bisected(lambda ratio: measure(cut(ratio), shape).macs / whole))


def _bisected(left: Callable[[float], float]) -> float:
    """The smallest ratio that leaves no more than half of the MACs."""
    low, high = 0.0, 0.9
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) > MACS_LEFT else (low, middle)
    return high


def one(
    name: str,
    *,
    batch: int,
    threads: int,
    seconds: float,
    backends: list[str],
    keep: bool,
    multiple: int | None,
) -> list[dict[str, Any]]:
    """All backends of one network: rows of figures."""
    architecture = resolve(f"torchvision/{name}")
    shape = architecture.input_shape
    torch.manual_seed(0)
    whole = build(architecture).eval()
    graph = build_graph(whole, shape)
    liked = multiple or liked_widths(graph, threads=threads).multiple
    weights = seconds_per_mac(LatencyTable(graph, batch=batch, threads=threads), graph, multiple=liked)
    sides = {
        "whole": whole,
        "prunecli, --round-to auto": ours(whole, graph, multiple=liked),
        "prunecli, auto, by latency": ours(whole, graph, multiple=liked, weights=weights),
        "prunecli": ours(whole, graph, multiple=1),
        "Torch-Pruning, round_to": peers(whole, shape, multiple=liked),
        "Torch-Pruning": peers(whole, shape, multiple=None),
    }
    macs = {side: measure(model, shape).macs for side, model in sides.items()}
    rows = []
    for backend in backends:
        with (
            tempfile.TemporaryDirectory() as folder,
            torch.inference_mode(),
            threads_set(threads),
            memory_kept() if keep else nullcontext(),
        ):
            runs = [
                _runner(model.eval(), shape, backend, batch=batch, threads=threads, folder=Path(folder))
                for model in sides.values()
            ]
            timings = dict(zip(sides, time_side_by_side(runs, seconds=seconds, warm_up=3), strict=True))
        for side, timing in timings.items():
            speed_up = ratio_of(timings["whole"], timing)
            rows.append(
                {
                    "network": name,
                    "backend": backend,
                    "memory_kept": keep,
                    "side": side,
                    "multiple": liked,
                    "macs": macs[side],
                    "ms": 1e3 * timing.median,
                    "rounds": len(timing.seconds),
                    "theoretical": macs["whole"] / macs[side],
                    "measured": speed_up.value,
                    "interval": [speed_up.low, speed_up.high],
                }
            )
            print(_line(rows[-1]), flush=True)
    return rows


def _runner(
    model: nn.Module, shape: tuple[int, ...], backend: str, *, batch: int, threads: int, folder: Path
) -> Run:
    calling = calling_of(meta_copy(model).eval(), shape)
    inputs = calling.random(torch.Generator().manual_seed(0), torch.float32, batch=batch)
    prepare = BACKENDS[backend].prepare
    if prepare is not None:
        return prepare(model, calling, inputs)
    path = folder / f"{id(model)}.onnx"
    torch.onnx.export(model, inputs, str(path), dynamo=False)
    return onnx_run(path, batch=batch, threads=threads, device="cpu")


def _line(row: dict[str, Any]) -> str:
    kept = "yes" if row["memory_kept"] else "no"
    low, high = row["interval"]
    reached = row["measured"] / row["theoretical"]
    return (
        f"| {row['network']} | {row['backend']} | {kept} | {row['side']} | {row['ms']:.1f} | "
        f"{row['theoretical']:.2f} | {row['measured']:.2f} ({low:.2f} to {high:.2f}) | {reached:.2f} |"
    )


def _reached(rows: list[dict[str, Any]], side: str) -> str:
    own = [row for row in rows if row["side"] == side]
    met = sum(row["measured"] >= GOAL * row["theoretical"] for row in own)
    return f'{met} of {len(own)} settings of "{side}"'


def write_table(document: dict[str, Any]) -> str:
    """The rows as Markdown, with what they were measured on."""
    machine, rows = document["machine"], document["rows"]
    multiples = {row["network"]: row["multiple"] for row in rows}
    liked = ", ".join(f"{multiple} ({network})" for network, multiple in multiples.items())
    told = [_reached(rows, side) for side in dict.fromkeys(row["side"] for row in rows) if side != "whole"]
    return "\n".join(
        [
            "# Speed of networks with half the MACs",
            "",
            f"{machine['processor']}, {machine['threads']} threads, batch {machine['batch']}, torch "
            f"{machine['torch']}. Speed-up is that over the whole network, timed in the same rounds; in "
            f"brackets its 95 % interval. The machine liked widths that are multiples of {liked}.",
            "",
            f"Measured is at least {GOAL} of theoretical in {'; '.join(told)}.",
            "",
            "Made by `python benchmarks/pruned_speed.py`.",
            "",
            "| network | backend | memory kept | side | ms | theoretical | measured | share |",
            "|---|---|---|---|---:|---:|---:|---:|",
            *(_line(row) for row in rows),
            "",
        ]
    )


def main() -> None:
    """Measure what is asked for and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=90.0, help="the most for a network and backend")
    parser.add_argument("--backends", nargs="*", default=["eager", "channels-last", ONNX])
    parser.add_argument("--multiple", type=int, help="of widths, instead of what the machine likes")
    parser.add_argument("--result", type=Path, default=RESULTS / "pruned_speed.json")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        facts = machine_facts(device="cpu", threads=given.threads, batch=given.batch)
        document: dict[str, Any] = {"machine": facts, "rows": []}
        for name in given.only:
            for keep in (False, True):
                document["rows"] += one(
                    name,
                    batch=given.batch,
                    threads=given.threads,
                    seconds=given.seconds,
                    backends=given.backends,
                    keep=keep,
                    multiple=given.multiple,
                )
        given.result.write_text(json.dumps(document, indent=1) + "\n")
    document = json.loads(given.result.read_text())
    table = write_table(document)
    given.result.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
