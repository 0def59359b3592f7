"""Images a second of `fit` against a bare hand-written loop, interleaved in one run.

    python benchmarks/training.py                            random images of CIFAR-10's shape
    python benchmarks/training.py --data FOLDER              the first images of an image folder
    python benchmarks/training.py --device cuda --batch 512 --steps 100 --format md

Both train a CIFAR ResNet-20 for the same steps from the same weights. The bare loop has every advantage: its
images are normalised floats in memory beforehand, it checks nothing, it records nothing. Each round runs the
bare loop, `fit`, and `fit` with augmentation, in an order that turns from round to round; ratios are taken
within a round, so that a busy machine slows both. Printed are medians: one JSON line a loop, or a table.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass

import torch
from torch import nn
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.data import Split, TrainingData, normalise, open_data
from prunecli.training import FitSettings, fit

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trial:
    """What every loop is given."""

    split: Split
    batch: int
    device: str
    lr: float = 0.01


def fresh_model() -> nn.Module:
    """A ResNet-20 for CIFAR-10 with the same weights at every call."""
    torch.manual_seed(0)
    return build(resolve("cifar/resnet20"))


def images_for(data: str | None, count: int) -> Split:
    """`count` images of 3x32x32: random, or the first of a folder's training part after a shuffle by seed."""
    stream = torch.Generator().manual_seed(0)
    if data is None:
        images = torch.randint(0, 256, (count, 3, 32, 32), generator=stream, dtype=torch.uint8)
        return Split(images, torch.randint(0, 10, (count,), generator=stream), 10)
    train = open_data(data, image_shape=(3, 32, 32)).train
    chosen = torch.randperm(len(train), generator=stream)[:count]
    return Split(train.images[chosen], train.labels[chosen], train.classes)


@dataclass(frozen=True)
class Speed:
    """Images a second of the wall clock, and of the process's CPU time, less disturbed by others."""

    wall: float
    cpu: float


def bare(trial: Trial) -> Speed:
    """The shortest loop that trains."""
    model = fresh_model().to(trial.device).train()
    images = normalise(trial.split.images.to(trial.device), MEAN, STD)
    labels = trial.split.labels.to(trial.device)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=trial.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    if images.is_cuda:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    for chosen in torch.split(torch.randperm(len(labels)).to(trial.device), trial.batch):
        loss = functional.cross_entropy(model(images[chosen]), labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    if images.is_cuda:
        torch.cuda.synchronize()
    return Speed(len(labels) / (time.perf_counter() - wall), len(labels) / (time.process_time() - cpu))


def fitted(trial: Trial, augment: str = "none") -> Speed:
    """One epoch of `fit`: the wall clock from its own record, the CPU time of the whole call."""
    two = Split(trial.split.images[:2], trial.split.labels[:2], trial.split.classes)
    classes = tuple(str(index) for index in range(10))
    data = TrainingData("benchmark", trial.split, two, classes, MEAN, STD)
    settings = FitSettings(
        epochs=1,
        lr=trial.lr,
        batch_size=trial.batch,
        schedule="constant",
        augment=augment,
        device=trial.device,
    )
    model = fresh_model()
    cpu = time.process_time()
    record = fit(model, data, settings=settings).history[0]
    return Speed(record.images_per_second, len(trial.split) / (time.process_time() - cpu))


LOOPS: dict[str, Callable[[Trial], Speed]] = {
    "bare loop": bare,
    "fit": fitted,
    "fit, augment cifar": lambda trial: fitted(trial, "cifar"),
}


@dataclass(frozen=True)
class Row:
    """One loop: medians over the rounds, ratios to the bare loop of the same round."""

    loop: str
    images_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    cpu_ratio: float


def measure(trial: Trial, *, rounds: int) -> list[Row]:
    """Run every loop in every round, after one round to warm up."""
    names = list(LOOPS)
    speeds: dict[str, list[Speed]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            speed = LOOPS[name](trial)
            if turn >= 0:
                speeds[name].append(speed)
    return [_row(name, speeds[name], speeds["bare loop"]) for name in names]


def _row(name: str, ours: list[Speed], base: list[Speed]) -> Row:
    ratios = [our.wall / its.wall for our, its in zip(ours, base, strict=True)]
    return Row(
        loop=name,
        images_per_second=round(statistics.median(speed.wall for speed in ours), 1),
        ratio=round(statistics.median(ratios), 4),
        lowest_ratio=round(min(ratios), 4),
        highest_ratio=round(max(ratios), 4),
        cpu_ratio=round(statistics.median(our.cpu / its.cpu for our, its in zip(ours, base, strict=True)), 4),
    )


def as_table(rows: list[Row], context: dict[str, object]) -> str:
    """The rows as Markdown under a line with what was run where."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in context.items()),
        "",
        "| loop | images/s | ratio to the bare loop | lowest | highest | ratio by CPU time |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(map(str, astuple(row))) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="an image folder; random images otherwise")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="steps a loop and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--format", choices=["json", "md"], default="json")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    split = images_for(chosen.data, chosen.batch * chosen.steps)
    trial = Trial(split, chosen.batch, chosen.device)
    context: dict[str, object] = {
        "model": "cifar/resnet20",
        "images": "random" if chosen.data is None else "folder",
        "batch": chosen.batch,
        "steps": chosen.steps,
        "rounds": chosen.rounds,
        "threads": chosen.threads,
        "device": chosen.device,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    rows = measure(trial, rounds=chosen.rounds)
    if chosen.format == "md":
        print(as_table(rows, context))
        return
    for row in rows:
        print(json.dumps({**context, **asdict(row)}))


if __name__ == "__main__":
    main()
