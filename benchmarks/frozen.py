"""What freezing the beginning of a network saves in an epoch of `fit`, beside what arithmetic allows.

    python benchmarks/frozen.py                              random images of CIFAR-10's shape
    python benchmarks/frozen.py --data FOLDER                images of an image folder
    python benchmarks/frozen.py --images 2000 --rounds 5 --format md
    python benchmarks/frozen.py --device cuda --batch 512 --images 20000

A CIFAR ResNet-20 is trained for two epochs of the same steps with nothing frozen, with its stem and first
stage (a third of the layers), with two stages, and with all but the head; what is frozen once run at every
step and once kept from the first epoch on. Each round trains every variant once, in another order; ratios are
to the unfrozen epoch of the same round, so that a busy machine slows both sides. Printed are medians over the
rounds, by the wall clock and by CPU time.

`kept` counts the second epoch. What the first one takes more is the look-up of where the network can be taken
up, and one pass of the frozen part over all images; it is printed as a share of an unfrozen epoch.

`MACs` is the same ratio by multiply-accumulates: each layer that runs costs its own once forward, once more
backward where it learns, and once more where something before it learns. Batch norms, activations, loss,
optimiser and the making of batches are not in it, so a measured ratio may lie on either side.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from training_loops import MEAN, STD, first_of, fresh_model, images_for, keep_freed_memory

from prunecli.data import Split, TrainingData
from prunecli.training import EpochRecord, FitSettings, Hooks, caching, fit
from prunecli.training.freezing import freeze

STEM, ONE, TWO, THREE = ("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",)
FROZEN = {
    "nothing": (),
    "a third": (*STEM, *ONE),
    "two thirds": (*STEM, *ONE, *TWO),
    "all but the head": (*STEM, *ONE, *TWO, *THREE),
}


@dataclass(frozen=True)
class Variant:
    """What is frozen, and whether it is kept."""

    frozen: str
    kept: bool

    @property
    def name(self) -> str:
        """A word for the table."""
        if self.frozen == "nothing":
            return "nothing frozen"
        return f"{self.frozen} frozen, {'kept' if self.kept else 'run at every step'}"


VARIANTS = (
    Variant("nothing", kept=False),
    *(Variant(frozen, kept) for frozen in list(FROZEN)[1:] for kept in (False, True)),
)


@dataclass(frozen=True)
class Run:
    """Seconds of the first and the second epoch of a training, and what it made of the weights."""

    wall: tuple[float, float]
    cpu: tuple[float, float]
    weights: Tensor


class Clock(Hooks):
    """Notes the CPU time when an epoch ends; it changes nothing, so what is frozen may be kept."""

    def begin(self, model: nn.Module, steps: int) -> None:
        """The first epoch begins."""
        self.times = [time.process_time()]

    def may_be_best(self, epoch: int) -> bool:
        """An epoch has ended."""
        self.times.append(time.process_time())
        return epoch > 0


@contextmanager
def keeping(wanted: bool) -> Iterator[None]:
    """Inside, frozen beginnings are kept or not."""
    usual = caching.CACHED_BYTES
    try:
        caching.CACHED_BYTES = usual if wanted else 0
        yield
    finally:
        caching.CACHED_BYTES = usual


def train(variant: Variant, split: Split, *, batch: int, device: str) -> Run:
    """Two epochs of a variant."""
    classes = tuple(str(index) for index in range(10))
    data = TrainingData("benchmark", split, first_of(split, 2), classes, MEAN, STD)
    settings = FitSettings(epochs=2, batch_size=batch, freeze=FROZEN[variant.frozen], device=device)
    model, clock = fresh_model(), Clock()
    with keeping(variant.kept):
        history = fit(model, data, settings=settings, hooks=clock).history
    wall = [_seconds(record, len(split)) for record in history]
    cpu = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    weights = torch.cat([each.detach().cpu().flatten() for each in model.parameters()])
    return Run((wall[0], wall[1]), (cpu[0], cpu[1]), weights)


def _seconds(record: EpochRecord, images: int) -> float:
    """Of the training alone, without the validation."""
    return images / record.images_per_second


def macs(variant: Variant) -> int:
    """Multiply-accumulates of a training step for each image, by the convolutions and the linear layer."""
    model, total = fresh_model(), 0
    freeze(model, FROZEN[variant.frozen])

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        weight = layer.get_parameter("weight")
        own = output[0].numel() * weight[0].numel()
        if output.requires_grad:
            total += own * (1 + weight.requires_grad + inputs[0].requires_grad)
        elif not variant.kept:
            total += own

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    model(torch.zeros(1, 3, 32, 32))
    return total


def measure(asked: argparse.Namespace) -> list[dict[str, object]]:
    """One row a variant."""
    split = images_for(asked.data, asked.images)
    order, shuffling = list(VARIANTS), random.Random(0)
    train(order[0], first_of(split, 2 * asked.batch), batch=asked.batch, device=asked.device)
    rounds: list[dict[Variant, Run]] = []
    for _ in range(asked.rounds):
        shuffling.shuffle(order)
        rounds.append({each: train(each, split, batch=asked.batch, device=asked.device) for each in order})
    return [row(variant, rounds) for variant in VARIANTS]


def row(variant: Variant, rounds: list[dict[Variant, Run]]) -> dict[str, object]:
    """The medians of a variant over the rounds."""
    plain, each_time = VARIANTS[0], Variant(variant.frozen, kept=False)
    walls = [found[variant].wall[1] / found[plain].wall[1] for found in rounds]
    cpus = [found[variant].cpu[1] / found[plain].cpu[1] for found in rounds]
    more = [
        (found[variant].cpu[0] - found[variant].cpu[1]) / found[plain].cpu[1]
        for found in rounds
        if variant.kept
    ]
    apart = [(found[variant].weights - found[each_time].weights).abs().max().item() for found in rounds]
    return {
        "variant": variant.name,
        "seconds": round(statistics.median(found[variant].wall[1] for found in rounds), 2),
        "wall": round(statistics.median(walls), 3),
        "lowest": round(min(walls), 3),
        "highest": round(max(walls), 3),
        "cpu": round(statistics.median(cpus), 3),
        "macs": round(macs(variant) / macs(plain), 3),
        "first": round(statistics.median(more), 3) if more else None,
        "apart": max(apart) if variant.kept else None,
    }


def table(rows: list[dict[str, object]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| variant | seconds an epoch | of unfrozen | lowest | highest | by CPU time | by MACs "
        "| first epoch more | weights apart |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        "| " + " | ".join("-" if value is None else str(value) for value in each.values()) + " |"
        for each in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", help="an image folder; random images without it")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--format", choices=("jsonl", "md"), default="jsonl")
    asked = parser.parse_args()
    keep_freed_memory()
    rows = measure(asked)
    place = "random" if asked.data is None else "folder"
    print(
        f"model cifar/resnet20, images {place} {asked.images}, batch {asked.batch}, rounds {asked.rounds}, "
        f"threads {torch.get_num_threads()}, device {asked.device}, torch {torch.__version__}, "
        f"machine {platform.machine()}\n"
    )
    print(table(rows) if asked.format == "md" else "\n".join(json.dumps(each) for each in rows))


if __name__ == "__main__":
    main()
