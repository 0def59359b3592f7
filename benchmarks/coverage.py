"""Which architectures of a zoo are pruned and proved: one process a model, a JSON line each, resumable.

    python benchmarks/coverage.py --zoo torchvision            what is not in the results yet
    python benchmarks/coverage.py --zoo torchvision --peer     torch-pruning 1.6.1 too, where installed
    python benchmarks/coverage.py --zoo torchvision --table    the table of what is there

Each model gets random weights, batch-norm scales, shifts and statistics that hide no mistake, loses half of
every prunable group, is compared with the masked original in float64, in inference and training mode, runs
forward and backward, is written and opened again in a new process, and gives the same outputs there.

"pruned" asks for all of that, for 80 % of the channels that are no inputs or outputs in prunable groups, and
for 40 % fewer parameters, 25 % where the hidden width is the network's output or cannot go (heads and
feed-forward widths only). Seconds are those of the processor on one thread, so that a busy machine shows the
same, and so are the bounds.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

from coverage_processes import in_a_process
from coverage_table import print_table, state_of
from coverage_zoos import arguments_of, names_of, randomise

RESULTS = Path(__file__).parent / "results"
RATIO = 0.5
PRUNED = "pruned.safetensors"
POSITIONS, OTHER_FACTORS = "meets a fixed dimension", "different factors"
ENOUGH, ENOUGH_INSIDE, ENOUGH_CHANNELS = 0.4, 0.25, 0.8


def try_one(name: str, folder: str) -> dict[str, Any]:
    """Prune and prove one architecture in this process and write it into `folder`; its row of the results."""
    import numpy as np
    import torch

    from prunecli.allocation.choosing import allocate
    from prunecli.architectures import build, resolve
    from prunecli.graph.channel_graph import build_graph
    from prunecli.surgery.cutting import carry_out
    from prunecli.surgery.planning import make_plan
    from prunecli.surgery.proof_input import graph_for_proof
    from prunecli.surgery.verification import verify

    torch.set_num_threads(1)
    architecture = resolve(name, arguments=arguments_of(name))
    model = build(architecture)
    randomise(model)
    start = time.process_time()
    graph = build_graph(model, architecture.input_shape)
    traced = time.process_time()
    every_other = {group.name: np.arange(group.channels) % 2.0 for group in graph.prunable}
    planned = make_plan(graph, allocate(graph, every_other, ratio=RATIO).removed)
    cut = carry_out(planned.plan, copy.deepcopy(model))
    done = time.process_time()
    removed = {group.name: group.removed for group in planned.plan.groups}
    found = verify(graph, model, cut, removed, scalings=planned.plan.scalings)
    verified = time.process_time()
    before, after = (sum(p.numel() for p in each.parameters()) for each in (model, cut))
    row = {
        "name": name,
        "equivalent": found.equivalent,
        "error": found.max_rel_error if found.max_rel_error < float("inf") else None,
        "params_cut": 1 - after / before,
        **_channels(graph, set(removed)),
        "protected": dict(list(planned.protected.items())[:3]),
        "unknown": list(graph.propagation.unknown),
        "seconds": {"trace": traced - start, "plan_and_cut": done - traced, "verify": verified - done},
        "no_gradient": _without_gradient(graph_for_proof(graph), cut)[:3],
    }
    _write(f"{folder}/{PRUNED}", architecture, planned.plan, cut)
    return row


def is_pruned(row: dict[str, Any]) -> bool:
    """Whether all was met that the caption of this file asks for."""
    enough = ENOUGH if row["hidden_width_goes"] else ENOUGH_INSIDE
    return bool(
        row["equivalent"]
        and row["reloads"]
        and not row["no_gradient"]
        and row["params_cut"] >= enough
        and row["channels_share"] >= ENOUGH_CHANNELS
    )


def try_peer_on(name: str, folder: str) -> dict[str, Any]:
    """Let the peer prune the same architecture in this process."""
    import torch
    from coverage_peer import try_peer

    from prunecli.architectures import build, resolve
    from prunecli.graph.channel_graph import build_graph

    torch.set_num_threads(1)
    architecture = resolve(name, arguments=arguments_of(name))
    model = build(architecture)
    randomise(model)
    graph = build_graph(model, architecture.input_shape)
    return try_peer(
        model,
        graph.calling.random(torch.Generator().manual_seed(0), torch.float32, batch=1),
        ratio=RATIO,
        outputs=[group.name for group in graph.groups if "an output" in (group.reason or "")],
    )


def _channels(graph: Any, cut: set[str]) -> dict[str, Any]:
    """The share of the channels inside the network that could go, and whether its widest stream did.

    Channels are those that a layer makes and that are no output; where one dimension is a product, as heads
    times width, its two groups count as one. A layer that mixes tokens makes positions of the picture, which
    are no channels: its outputs meet a dimension that holds none. They are counted on their own.
    """
    made = {(layer.weight, layer.filter_axis) for layer in graph.layers}
    inside = [
        group
        for group in graph.groups
        if group.channels > 1
        and any((member.tensor, member.axis) in made for member in group.members)
        and "an output" not in (group.reason or "")
        and not (group.reason or "").startswith("another factor")
    ]
    positions = [group for group in inside if _are_positions(group)]
    inside = [group for group in inside if not _are_positions(group)]
    widest = max(inside, key=lambda group: len(group.members), default=None)
    outputs = max((len(g.members) for g in graph.groups if "an output" in (g.reason or "")), default=0)
    total = sum(group.channels for group in inside)
    return {
        "channels": total,
        "positions": sum(group.channels for group in positions),
        "channels_share": sum(g.channels for g in inside if g.name in cut) / total if total else 0.0,
        "hidden_width_goes": widest is not None and widest.name in cut and len(widest.members) > outputs,
    }


def _are_positions(group: Any) -> bool:
    return bool(group.reason) and all(
        each.startswith(POSITIONS) and OTHER_FACTORS not in each for each in group.reason.split("; ")
    )


def _without_gradient(graph: Any, cut: Any) -> list[str]:
    """Parameters of the traced training path that a backward pass leaves without a gradient."""
    import torch
    from torch.utils import _pytree as pytree

    trace = graph.traces[-1]
    used = {ref.name for operation in trace.operations for ref in operation.tensors() if ref.name}
    network = copy.deepcopy(cut).train(trace.training)
    inputs = graph.calling.random(torch.Generator().manual_seed(1), torch.float32, batch=2)
    leaves = pytree.tree_leaves(graph.calling.run(network, inputs))
    made = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    torch.stack([(leaf * torch.rand_like(leaf)).sum() for leaf in made]).sum().backward()
    return [
        name
        for name, parameter in network.named_parameters()
        if name in used and parameter.requires_grad and parameter.grad is None
    ]


def _write(path: str, architecture: Any, plan: Any, cut: Any) -> None:
    """Write the pruned file, and its outputs beside it."""
    import torch

    from prunecli.checkpoints import write_checkpoint
    from prunecli.version import __version__

    document = {
        "architecture": architecture.document(),
        "input_shape": list(architecture.input_shape),
        "plan": plan.document(),
        "normalisation": None,
        "history": [{"version": __version__}],
    }
    write_checkpoint(path, cut.state_dict(), document)
    torch.save(outputs_of(cut, architecture.input_shape), f"{path}.outputs")


def outputs_of(network: Any, input_shape: tuple[int, ...]) -> list[Any]:
    """What the network gives for a seeded input."""
    import torch
    from torch.utils import _pytree as pytree

    from prunecli.graph.calling import calling_of
    from prunecli.graph.meta import meta_copy

    torch.set_num_threads(1)
    calling = calling_of(meta_copy(network), input_shape)
    inputs = calling.random(torch.Generator().manual_seed(2), torch.float32, batch=1)
    with torch.no_grad():
        leaves = pytree.tree_leaves(calling.run(network.eval(), inputs))
    return [leaf.float() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def reload(name: str, folder: str) -> dict[str, Any]:
    """Whether the written file, opened as a user would, gives the outputs that lie beside it."""
    import torch

    from prunecli.workflows.opening import Opening, open_checkpoint

    path = f"{folder}/{PRUNED}"
    there = torch.load(f"{path}.outputs", weights_only=True)
    opened = open_checkpoint(Opening(checkpoint=path))
    here = outputs_of(opened.model, opened.architecture.input_shape)
    same = len(here) == len(there) and all(
        torch.allclose(one, other, rtol=1e-5, atol=1e-6 * float(one.abs().max()), equal_nan=True)
        for one, other in zip(here, there, strict=True)
    )
    return {"reloads": same}


def ours(name: str, *, seconds: int) -> dict[str, Any]:
    """The row of one model without the peer, each step of it in a process of its own."""
    row = {"name": name, **in_a_process(try_one, name, seconds=seconds, then=reload)}
    return row if "failure" in row else {**row, "pruned": is_pruned(row)}


def run(zoo: str, *, seconds: int, only: list[str], peer_seconds: int | None) -> None:
    """Try what the results do not hold yet; the peer, where it is asked for, on rows without it."""
    path = RESULTS / f"coverage_{zoo}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = {row["name"]: row for row in map(json.loads, lines)}
    for name in only or names_of(zoo):
        done = name in rows and (peer_seconds is None or "peer" in rows[name])
        if done:
            continue
        row = rows.get(name) or ours(name, seconds=seconds)
        if peer_seconds is not None:
            row["peer"] = in_a_process(try_peer_on, name, seconds=peer_seconds)
        rows[name] = row
        path.write_text("".join(f"{json.dumps(each)}\n" for each in rows.values()))
        print(state_of(row), name, flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", choices=["cifar", "torchvision", "timm", "transformers"], required=True)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=240, help="of the processor, for one model")
    parser.add_argument("--peer", action="store_true", help="let Torch-Pruning try each model too")
    parser.add_argument("--peer-seconds", type=int, default=60, help="the same for Torch-Pruning")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print_table(RESULTS / f"coverage_{given.zoo}.jsonl")
    else:
        peer_seconds = given.peer_seconds if given.peer else None
        run(given.zoo, seconds=given.seconds, only=given.only, peer_seconds=peer_seconds)


if __name__ == "__main__":
    main()
