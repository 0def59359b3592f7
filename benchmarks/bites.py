"""Strategies in bites against one cut, at equal epochs in all, on the bundled ResNet-8 and its digits.

    python benchmarks/bites.py                       the table of benchmarks/results/bites_digits.md
    python benchmarks/bites.py --ratios 0.5 --epochs 10 --seeds 1

Test accuracy, mean and spread over the seeds. "half" gives half of the epochs to the bites and half to a
fine-tuning of what they leave: the last bites have few epochs, so what comes after them matters.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

import prunecli
from prunecli import FitSettings, Opening
from prunecli.strategies.bites import BiteWishes

BITES = BiteWishes(later=0.25)


def pruned(ratio: float, strategy: str, epochs: int, seed: int, output: str) -> float:
    """Test accuracy (%) of the sample pruned by a strategy; it is written to `output`."""
    result = prunecli.prune(
        Opening(),
        ratio=ratio,
        strategy=strategy,
        epochs=epochs,
        bites=BITES,
        seed=seed,
        evaluate=True,
        output=output,
    )
    accuracy = result.document()["accuracy"]["after"]
    return float(accuracy)


def tuned(path: str, epochs: int, seed: int) -> float:
    """Test accuracy (%) of a checkpoint after a fine-tuning."""
    result = prunecli.finetune(Opening(checkpoint=path), settings=FitSettings(epochs=epochs, seed=seed))
    return result.after.accuracy


def one_cut(ratio: float, epochs: int, seed: int, path: str) -> float:
    """All channels at once, then all the epochs."""
    pruned(ratio, "one-shot", 0, seed, path)
    return tuned(path, epochs, seed)


def in_bites(strategy: str) -> Callable[[float, int, int, str], float]:
    """All the epochs among the bites."""
    return lambda ratio, epochs, seed, path: pruned(ratio, strategy, epochs, seed, path)


def half(strategy: str) -> Callable[[float, int, int, str], float]:
    """Half of the epochs among the bites, the other half for what they leave."""

    def way(ratio: float, epochs: int, seed: int, path: str) -> float:
        pruned(ratio, strategy, epochs // 2, seed, path)
        return tuned(path, epochs - epochs // 2, seed)

    return way


WAYS: dict[str, Callable[[float, int, int, str], float]] = {
    "one-shot, then finetune": one_cut,
    "iterative": in_bites("iterative"),
    "geometric": in_bites("geometric"),
    "geometric, half": half("geometric"),
    "log, half": half("log"),
    "hybrid": in_bites("hybrid"),
    "hybrid, half": half("hybrid"),
}


def cell(way: Callable[[float, int, int, str], float], ratio: float, epochs: int, seeds: int) -> str:
    """Mean and spread over the seeds."""
    with tempfile.TemporaryDirectory() as folder:
        found = [way(ratio, epochs, seed, str(Path(folder) / f"{seed}.safetensors")) for seed in range(seeds)]
    return f"{statistics.mean(found):.2f} ± {statistics.pstdev(found):.2f}"


def main() -> None:
    """Run every way and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ratios", default="0.5,0.7,0.9")
    parser.add_argument("--epochs", default="20,100")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    columns = [
        (float(ratio), int(epochs))
        for epochs in chosen.epochs.split(",")
        for ratio in chosen.ratios.split(",")
    ]
    print(
        f"{chosen.seeds} seeds, torch {torch.__version__}, {chosen.threads} thread(s), test accuracy in %\n"
    )
    print("| way | " + " | ".join(f"{ratio:g}, {epochs} epochs" for ratio, epochs in columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, way in WAYS.items():
        print(
            f"| {name} | " + " | ".join(cell(way, *column, chosen.seeds) for column in columns) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
