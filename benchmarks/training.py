"""Images a second of `fit` against a bare loop, timm's step and Hugging Face's Trainer, in one run.

    python benchmarks/training.py                            random images of CIFAR-10's shape
    python benchmarks/training.py --data FOLDER              the first images of an image folder
    python benchmarks/training.py --peers bare,timm          some of the peers
    python benchmarks/training.py --device cuda --batch 512 --steps 100 --format md

All train a CIFAR ResNet-20 from the same weights, on the same images, for the same steps of SGD with Nesterov
momentum at a constant rate. Each round runs every loop once, in another order and each after two steps that
do not count; ratios are taken within a round, so that a busy machine slows both sides. Printed are median,
lowest and highest ratio by the wall clock, and the median by CPU time: one JSON line a pair, or a table.
Freed memory stays with the process (glibc's `mallopt`): otherwise the same loop takes anything from none to
hundreds of thousands of page faults, up to a tenth of its time, by the state in which it finds the heap.

What the peers are given, and `fit` is not: images that are normalised floats in memory beforehand, batches
that are one look-up by index, no augmentation in any row, and a clock that runs from the first batch to the
last step, so that making the model, the optimiser and the loaders is not counted. `fit` normalises every
batch, looks at every loss and keeps its record; of its CPU time the whole call is counted, with the checks
before the first step, the validation on two images and the copies of the best state.

`bare`      the shortest loop that trains; it checks nothing, it records nothing.
`bare-last` the same by somebody who knows this processor: weights with channels last, a fused optimiser. That
            is what `fit` chooses by itself, and the peers would have to be told.
`timm`      the step of timm's training script by its parts: `ClassificationTask` with its loss, the factories
            of optimiser and scheduler, `AverageMeter`. In place of its loader, which collates image by image,
            the look-up by index; one parameter group; no clipping, no mixed precision, no log lines.
`trainer`   `transformers.Trainer` with the optimiser handed in: no worker processes, pinning, clipping,
            logging, saving or evaluation, no filter of losses that are not finite, no callback but its own
            flow and the clock. Its data set answers a list of indices at once (`__getitems__`) and the
            collation is the identity, so that its DataLoader does no work image by image.

The row with an average of the weights (EMA) is set against bare's (`_foreach_lerp_`) and timm's
(`ModelEmaV3`) loop with one, and against Trainer's without, which has none.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from training_loops import (
    EMA_DECAY,
    MEAN,
    MOMENTUM,
    STD,
    WEIGHT_DECAY,
    Speed,
    Trial,
    bare,
    bare_last,
    by_timm,
    by_trainer,
    first_of,
    fresh_model,
    images_for,
    keep_freed_memory,
)

from prunecli.data import TrainingData
from prunecli.training import FitSettings, fit


def fitted(trial: Trial, **choices: Any) -> Speed:
    """One epoch of `fit`: the wall clock from its own record, the CPU time of the whole call."""
    classes = tuple(str(index) for index in range(10))
    data = TrainingData("benchmark", trial.split, first_of(trial.split, 2), classes, MEAN, STD)
    settings = FitSettings(
        epochs=1,
        lr=trial.lr,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        batch_size=trial.batch,
        schedule="constant",
        device=trial.device,
        **choices,
    )
    model = fresh_model()
    cpu = time.process_time()
    record = fit(model, data, settings=settings).history[0]
    return Speed(record.images_per_second, len(trial.split) / (time.process_time() - cpu))


OURS: dict[str, dict[str, Any]] = {
    "fit": {},
    "fit, augment cifar": {"augment": "cifar"},
    "fit, EMA": {"ema_decay": EMA_DECAY},
}
PEERS: dict[str, Callable[..., Speed]] = {
    "bare": bare,
    "bare-last": bare_last,
    "timm": by_timm,
    "trainer": by_trainer,
}
AVERAGING = ("bare", "timm")
"""The peers that have an average of the weights to set against ours."""


@dataclass(frozen=True)
class Row:
    """One of ours against one peer: medians over the rounds, ratios to the peer's loop of the same round."""

    loop: str
    peer: str
    images_per_second: float
    peer_images_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    cpu_ratio: float


def pairs_with(peers: list[str]) -> list[tuple[str, str]]:
    """Which of our loops is set against which loop of a peer: like with like where the peer has it."""
    return [
        (ours, f"{peer}, EMA" if "ema_decay" in choices and peer in AVERAGING else peer)
        for ours, choices in OURS.items()
        for peer in peers
    ]


def run_loop(name: str, trial: Trial) -> Speed:
    """Run a loop by the name that `pairs_with` gives it."""
    # What the loop before has left behind, garbage and the state of the allocator, is made alike for all.
    gc.collect()
    bare(replace(trial, split=first_of(trial.split, 2 * trial.batch)))
    if name in OURS:
        return fitted(trial, **OURS[name])
    peer, _, averaging = name.partition(", ")
    return PEERS[peer](trial, ema=True) if averaging else PEERS[peer](trial)


def measure(trial: Trial, *, peers: list[str], rounds: int) -> list[Row]:
    """Run every loop in every round, after one round to warm up."""
    pairs = pairs_with(peers)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    speeds: dict[str, list[Speed]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        # Not a rotation: each loop would always follow the same one and inherit what that leaves behind.
        for name in random.Random(turn).sample(names, len(names)):
            speed = run_loop(name, trial)
            if turn >= 0:
                speeds[name].append(speed)
    return [_row(ours, peer, speeds[ours], speeds[peer]) for ours, peer in pairs]


def _row(loop: str, peer: str, ours: list[Speed], theirs: list[Speed]) -> Row:
    ratios = [our.wall / its.wall for our, its in zip(ours, theirs, strict=True)]
    by_cpu = [our.cpu / its.cpu for our, its in zip(ours, theirs, strict=True)]
    return Row(
        loop=loop,
        peer=peer,
        images_per_second=round(statistics.median(speed.wall for speed in ours), 1),
        peer_images_per_second=round(statistics.median(speed.wall for speed in theirs), 1),
        ratio=round(statistics.median(ratios), 4),
        lowest_ratio=round(min(ratios), 4),
        highest_ratio=round(max(ratios), 4),
        cpu_ratio=round(statistics.median(by_cpu), 4),
    )


def as_table(rows: list[Row], context: dict[str, object]) -> str:
    """The rows as Markdown under a line with what was run where."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in context.items()),
        "",
        "| loop | peer | images/s | peer's images/s | ratio | lowest | highest | ratio by CPU time |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(map(str, astuple(row))) + " |" for row in rows]
    return "\n".join(lines)


def versions(peers: list[str]) -> dict[str, object]:
    """The releases of what is run; a peer that is not installed ends the run here."""
    packages = {"timm": ["timm"], "trainer": ["transformers", "accelerate"]}
    found: dict[str, object] = {"torch": torch.__version__}
    for package in (name for peer in peers for name in packages.get(peer, [])):
        if find_spec(package) is None:
            raise SystemExit(f"{package} is not installed; choose other --peers")
        found[package] = version(package)
    return found


def main() -> None:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="an image folder; random images otherwise")
    parser.add_argument("--peers", default=",".join(PEERS), help="left out: all")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="steps a loop and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--format", choices=["json", "md"], default="json")
    chosen = parser.parse_args()
    peers = chosen.peers.split(",")
    unknown = [peer for peer in peers if peer not in PEERS]
    if unknown:
        parser.error(f"unknown peers {', '.join(unknown)}; valid: {', '.join(PEERS)}")
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    context: dict[str, object] = {
        "model": "cifar/resnet20",
        "images": "random" if chosen.data is None else "folder",
        "batch": chosen.batch,
        "steps": chosen.steps,
        "rounds": chosen.rounds,
        "threads": chosen.threads,
        "device": chosen.device,
        **versions(peers),
        "machine": platform.machine(),
    }
    split = images_for(chosen.data, chosen.batch * chosen.steps)
    rows = measure(Trial(split, chosen.batch, chosen.device), peers=peers, rounds=chosen.rounds)
    if chosen.format == "md":
        print(as_table(rows, context))
        return
    for row in rows:
        print(json.dumps({**context, **asdict(row)}))


if __name__ == "__main__":
    main()
