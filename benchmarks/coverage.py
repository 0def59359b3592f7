"""Which architectures of a zoo are pruned and proved: one process a model, a JSON line each, resumable.

    python benchmarks/coverage.py --zoo torchvision            what is not in the results yet
    python benchmarks/coverage.py --zoo torchvision --peer     torch-pruning 1.6.1 too, where installed
    python benchmarks/coverage.py --zoo torchvision --table    the table of what is there

Each model gets random weights, batch-norm scales, shifts and statistics that hide no mistake, loses half of
every prunable group, is compared with the masked original in float64, in inference and training mode, runs
forward and backward, is written and opened again in a new process, and gives the same outputs there.

"pruned" asks for all of that, for 80 % of the channels that are no inputs or outputs in prunable groups, and
for 40 % fewer parameters, 25 % where the hidden width is the network's output or cannot go (heads and
feed-forward widths only).
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from coverage_table import print_table, state_of
from coverage_zoos import arguments_of, names_of, randomise

RESULTS = Path(__file__).parent / "results"
RATIO = 0.5
ENOUGH, ENOUGH_INSIDE, ENOUGH_CHANNELS = 0.4, 0.25, 0.8


def try_one(name: str) -> dict[str, Any]:
    """Prune and prove one architecture in this process; the row of the results."""
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
    start = time.perf_counter()
    graph = build_graph(model, architecture.input_shape)
    traced = time.perf_counter()
    every_other = {group.name: np.arange(group.channels) % 2.0 for group in graph.prunable}
    planned = make_plan(graph, allocate(graph, every_other, ratio=RATIO).removed)
    cut = carry_out(planned.plan, copy.deepcopy(model))
    done = time.perf_counter()
    removed = {group.name: group.removed for group in planned.plan.groups}
    found = verify(graph, model, cut, removed, scalings=planned.plan.scalings)
    verified = time.perf_counter()
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
        "reloads": _reloads(architecture, graph, planned.plan, cut),
    }
    enough = ENOUGH if row["hidden_width_goes"] else ENOUGH_INSIDE
    row["pruned"] = bool(
        found.equivalent
        and row["reloads"]
        and not row["no_gradient"]
        and row["params_cut"] >= enough
        and row["channels_share"] >= ENOUGH_CHANNELS
    )
    return row


def try_peer_on(name: str) -> dict[str, Any]:
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
    times width, its two groups count as one.
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
    widest = max(inside, key=lambda group: len(group.members), default=None)
    outputs = max((len(g.members) for g in graph.groups if "an output" in (g.reason or "")), default=0)
    total = sum(group.channels for group in inside)
    return {
        "channels": total,
        "channels_share": sum(g.channels for g in inside if g.name in cut) / total if total else 0.0,
        "hidden_width_goes": widest is not None and widest.name in cut and len(widest.members) > outputs,
    }


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


def _reloads(architecture: Any, graph: Any, plan: Any, cut: Any) -> bool:
    """Whether the written file, opened in a new process, gives the outputs that the network gives here."""
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
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/pruned.safetensors"
        write_checkpoint(path, cut.state_dict(), document)
        ran = subprocess.run(
            [sys.executable, __file__, "--reload", path], check=False, capture_output=True, text=True
        )
        if ran.returncode:
            raise RuntimeError(f"in a new process: {_last(ran.stderr)}")
        there = torch.load(f"{path}.outputs", weights_only=True)
    here = outputs_of(cut, architecture.input_shape)
    return len(here) == len(there) and all(
        torch.allclose(one, other, rtol=1e-5, atol=1e-6 * float(one.abs().max()), equal_nan=True)
        for one, other in zip(here, there, strict=True)
    )


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


def reload(path: str) -> None:
    """Open a written file as a user would, and leave its outputs beside it."""
    import torch

    from prunecli.workflows.opening import Opening, open_checkpoint

    opened = open_checkpoint(Opening(checkpoint=path))
    torch.save(outputs_of(opened.model, opened.architecture.input_shape), f"{path}.outputs")


def run(zoo: str, *, seconds: int, only: list[str], peer: bool) -> None:
    """Try what the results do not hold yet, each in a process of its own."""
    path = RESULTS / f"coverage_{zoo}.jsonl"
    known = {json.loads(line)["name"] for line in path.read_text().splitlines()} if path.exists() else set()
    for name in [name for name in names_of(zoo) if name not in known and (not only or name in only)]:
        row = {"name": name, **_in_a_process("--one", name, seconds=seconds)}
        if peer:
            row["peer"] = _in_a_process("--one-peer", name, seconds=seconds)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(state_of(row), name, flush=True)


def _in_a_process(option: str, name: str, *, seconds: int) -> dict[str, Any]:
    command = [sys.executable, __file__, option, name]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failure": f"not done after {seconds} s"}
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {"failure": _last(ran.stderr)}
    return found


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "ended without a word"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", choices=["cifar", "torchvision", "timm", "transformers"])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=120, help="the bound for one model")
    parser.add_argument("--peer", action="store_true", help="let Torch-Pruning try each model too")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--one-peer", help=argparse.SUPPRESS)
    parser.add_argument("--reload", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one or given.one_peer or given.reload:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
    if given.reload:
        reload(given.reload)
    elif given.one:
        print(json.dumps(try_one(given.one)))
    elif given.one_peer:
        print(json.dumps(try_peer_on(given.one_peer)))
    elif given.table:
        print_table(RESULTS / f"coverage_{given.zoo}.jsonl")
    else:
        run(given.zoo, seconds=given.seconds, only=given.only, peer=given.peer)


if __name__ == "__main__":
    main()
