"""Milliseconds that a batch costs before the network sees it, beside the training step that it is for.

    python benchmarks/loading.py                      128 random images of CIFAR-10 size, one thread
    python benchmarks/loading.py --batch 64 --threads 2 --rounds 9

Every round takes the training step of a CIFAR ResNet-20 (forward, backward, SGD) and, for each recipe, the
batches of a part of an epoch from images in memory, in an order that turns from round to round. A share is
taken within a round, so that a busy machine slows both. RandAugment is measured a second time as torchvision
does it, image by image. Printed are medians, as a Markdown table.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.data import Split
from prunecli.training import batches as batches_module
from prunecli.training.augmentation import RECIPES, plan_epoch
from prunecli.training.batches import Batch, Batches, Mixing
from prunecli.training.random_augment import load_transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE = (3, 32, 32)
CLASSES = 10
MIXINGS = {
    "cifar, MixUp 0.2": Mixing(mixup=0.2),
    "cifar, CutMix 1.0": Mixing(cutmix=1.0),
}


def random_split(count: int) -> Split:
    """`count` images of noise."""
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *SHAPE), generator=stream, dtype=torch.uint8)
    return Split(images, torch.randint(0, CLASSES, (count,), generator=stream), CLASSES)


def milliseconds(batches: Iterator[Batch]) -> list[float]:
    """How long each batch took to come."""
    found, start = [], time.perf_counter()
    for _ in batches:
        found.append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
    return found


def training_step(batches: Batches) -> Callable[[], list[float]]:
    """A function that trains for a few steps on one batch and says how long each took."""
    model = build(resolve("cifar/resnet20")).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
    images, labels = next(batches.in_order())

    def run() -> list[float]:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            loss = functional.cross_entropy(model(images), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            found.append(1e3 * (time.perf_counter() - start))
        return found

    return run


def one_by_one(_shape: tuple[int, int, int]) -> Callable[[Tensor], Tensor]:
    """RandAugment as torchvision does it, as strong as for images of CIFAR size, for each image alone."""
    transform = load_transforms("RandAugment").RandAugment(num_ops=3, magnitude=5)
    return lambda images: torch.stack([transform(image) for image in images])


def loaders(batches: Batches) -> dict[str, Callable[[], list[float]]]:
    """By name, what loads a few batches and says how long each took; the plan of an epoch is part of it."""

    def load(augment: str, mixing: Mixing | None = None) -> list[float]:
        start = time.perf_counter()
        plan = plan_epoch(len(batches), image_shape=SHAPE, augment=augment, seed=0, epoch=0)
        planned = 1e3 * (time.perf_counter() - start) / batches.steps()
        return [planned + each for each in milliseconds(batches.by_plan(plan, mixing=mixing))]

    def load_one_by_one() -> list[float]:
        with patch.object(batches_module, "random_augmenter", one_by_one):
            return load("cifar+randaugment")

    kinds = {"cifar+randaugment, image by image": load_one_by_one}
    for name in RECIPES:
        kinds[name] = lambda name=name: load(name)  # type: ignore[misc]
    for name, mixing in MIXINGS.items():
        kinds[name] = lambda mixing=mixing: load("cifar", mixing)  # type: ignore[misc]
    return kinds


def measure(batches: Batches, *, rounds: int) -> dict[str, list[float]]:
    """The median milliseconds of each loader and of the step in each round, after one to warm up."""
    kinds = {"training step": training_step(batches), **loaders(batches)}
    names = list(kinds)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            taken = statistics.median(kinds[name]())
            if turn >= 0:
                found[name].append(taken)
    return found


def as_table(found: dict[str, list[float]], context: dict[str, object]) -> str:
    """Medians as Markdown under a line with what was run where."""
    steps = found["training step"]
    lines = [
        ", ".join(f"{name} {value}" for name, value in context.items()),
        "",
        f"Training step: {statistics.median(steps):.0f} ms a batch.",
        "",
        "| augmentation | ms a batch | % of the step | highest % |",
        "|---|---:|---:|---:|",
    ]
    for name, times in found.items():
        if name != "training step":
            shares = [100 * ours / step for ours, step in zip(times, steps, strict=True)]
            figures = (statistics.median(times), statistics.median(shares), max(shares))
            lines.append(f"| {name} | " + " | ".join(f"{each:.2f}" for each in figures) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=8, help="batches a loader and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    batches = Batches(
        random_split(chosen.batch * chosen.batches),
        mean=MEAN,
        std=STD,
        batch_size=chosen.batch,
        device=torch.device("cpu"),
    )
    context: dict[str, object] = {
        "model": "cifar/resnet20",
        "images": "3x32x32 in memory",
        "batch": chosen.batch,
        "rounds": chosen.rounds,
        "threads": chosen.threads,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(as_table(measure(batches, rounds=chosen.rounds), context))


if __name__ == "__main__":
    main()
