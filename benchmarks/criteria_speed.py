"""How fast the weight criteria and the rank correlations are, against the least that their work can take.

    python benchmarks/criteria_speed.py                 a few minutes on two cores
    python benchmarks/criteria_speed.py --threads 1 --rounds 3

Random weights of the shapes of VGG-16 and ResNet-152. A round runs what is compared one after the other, and
ratios are taken within a round, so that what else the machine does falls on both; the figures are medians
over the rounds. Prints Markdown and writes it to `benchmarks/results/criteria_speed.md`.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunecli.analysis.agreement import jaccard, kendall, rbo, spearman
from prunecli.criteria.contract import CRITERIA, Evidence
from prunecli.criteria.relations import tile_side

RESULT = Path(__file__).parent / "results" / "criteria_speed.md"
RANKED_FILTERS = 2048
# Criteria of weights alone, on one layer that is larger than any convolution of torchvision's networks.
LARGE = (2048, 512, 3, 3)
ONE_LAYER = (
    *("l1", "l2", "linf", "lp_mean", "lp_mean(p=2)", "lamp", "fpgm", "euclid", "fermat", "cosine"),
    *("cosine(how=min)", "nuclear", "eff_rank", "kmeans", "exemplar"),
)

Shape = tuple[int, ...]
Timed = Mapping[str, Callable[[], Any]]


def vgg16() -> list[Shape]:
    """The weights of VGG-16's convolutions."""
    widths = (64, 64, 128, 128, 256, 256, 256, *(512,) * 6)
    return [(out, into, 3, 3) for into, out in zip((3, *widths), widths, strict=False)]


def vgg16_classifier() -> list[Shape]:
    """The weights of VGG-16's linear layers."""
    return [(4096, 25088), (4096, 4096), (1000, 4096)]


def resnet152() -> list[Shape]:
    """The weights of ResNet-152's convolutions."""
    shapes: list[Shape] = [(64, 3, 7, 7)]
    read = 64
    for width, blocks in ((64, 3), (128, 8), (256, 36), (512, 3)):
        for block in range(blocks):
            shapes += [(width, read, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            shapes += [(4 * width, read, 1, 1)] if block == 0 else []
            read = 4 * width
    return shapes


def evidence_of(shapes: list[Shape]) -> list[Evidence]:
    """Layers of Gaussian weights."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    return [Evidence("layer", weight.flatten(1), tuple(weight.shape)) for weight in made]


def rounds_of(timed: Timed, rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, run in timed.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, to: str) -> float:
    """The median over the rounds of one's time ÷ another's."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def over_layers(measured: Callable[[Evidence], Any], layers: list[Evidence]) -> None:
    """Once for every layer."""
    for each in layers:
        measured(each)


def gram_products(layers: list[Evidence], dtype: torch.dtype) -> Callable[[], None]:
    """All inner products of each layer's filters, as one product of matrices."""
    rows = [each.weight.to(dtype) for each in layers]

    def run() -> None:
        for one in rows:
            one @ one.T

    return run


def upper_products(layers: list[Evidence]) -> Callable[[], None]:
    """The inner products alone of the very tiles that fpgm works on: each pair of filters once."""

    def run() -> None:
        for each in layers:
            rows, side = each.weight, tile_side(each.weight)
            for first in range(0, len(rows), side):
                for second in range(first, len(rows), side):
                    rows[first : first + side] @ rows[second : second + side].T

    return run


def naive_error(layers: list[Evidence]) -> float:
    """The largest relative difference between fpgm and the sum of distances, pair by pair in float64."""
    worst = 0.0
    for each in layers:
        rows = each.weight.double()
        exact = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1)
        found = CRITERIA["fpgm"].function(each).double()
        worst = max(worst, float(((found - exact).abs() / exact).max()))
    return worst


def fpgm_table(rounds: int) -> list[str]:
    """`fpgm` against the products that it cannot do without."""
    lines = [
        "| network | fpgm | ÷ float32 products | ÷ float64 products | ÷ float32 products, upper tiles only "
        "| relative error | further memory |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, shapes in (("VGG-16", vgg16()), ("ResNet-152", resnet152())):
        layers = evidence_of(shapes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fpgm = partial(over_layers, CRITERIA["fpgm"].function, layers)
        fpgm()
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        timed: dict[str, Callable[[], Any]] = {
            "fpgm": fpgm,
            "float32": gram_products(layers, torch.float32),
            "float64": gram_products(layers, torch.float64),
            "upper": upper_products(layers),
        }
        seconds = rounds_of(timed, rounds)
        ratios = " | ".join(f"{ratio(seconds, 'fpgm', to):.2f}" for to in ("float32", "float64", "upper"))
        lines.append(
            f"| {name}, {len(shapes)} convolutions | {statistics.median(seconds['fpgm']):.3f} s | {ratios} | "
            f"{naive_error(layers):.0e} | {memory:.0f} MB |"
        )
    return lines


def norm_table(rounds: int, threads: int) -> list[str]:
    """The norms of a checkpoint against reading it, with one thread and with all."""
    lines = [
        "| checkpoint | threads | read by | GB/s | l1 | l2 | linf | lp_mean |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for name, shapes in (("VGG-16", vgg16() + vgg16_classifier()), ("ResNet-152", resnet152())):
        layers = evidence_of(shapes)
        size = sum(each.weight.numel() for each in layers) * 4
        timed: dict[str, Callable[[], Any]] = {
            norm: partial(over_layers, CRITERIA[norm].function, layers)
            for norm in ("l1", "l2", "linf", "lp_mean")
        }
        timed["torch.sum"] = partial(over_layers, lambda each: each.weight.sum(), layers)
        timed["numpy.sum"] = partial(over_layers, lambda each: each.weight.numpy().sum(), layers)
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            seconds = rounds_of(timed, rounds)
            for read in ("torch.sum", "numpy.sum"):
                shares = " | ".join(f"{ratio(seconds, read, norm):.2f}" for norm in list(timed)[:4])
                speed = size / statistics.median(seconds[read]) / 1e9
                lines.append(f"| {name}, {size / 1e6:.0f} MB | {count} | {read} | {speed:.1f} | {shares} |")
    return lines


def rank_table(rounds: int) -> list[str]:
    """The figures of two criteria on one layer."""
    generator = np.random.default_rng(0)
    a = generator.random(RANKED_FILTERS)
    b = a + generator.random(RANKED_FILTERS)
    seconds = rounds_of(
        {
            "Kendall tau-b": lambda: kendall(a, b),
            "Spearman": lambda: spearman(a, b),
            "Jaccard at 0.5": lambda: jaccard(a, b, ratio=0.5),
            "rank-biased overlap": lambda: rbo(a, b),
        },
        rounds,
    )
    lines = ["| figure | ms |", "|---|---:|"]
    return lines + [f"| {name} | {1e3 * statistics.median(found):.2f} |" for name, found in seconds.items()]


def layer_table() -> list[str]:
    """Each weight criterion once on one large layer."""
    from prunecli.criteria.specification import criterion_named

    (given,) = evidence_of([LARGE])
    lines = ["| criterion | s |", "|---|---:|"]
    for name in ONE_LAYER:
        start = time.perf_counter()
        criterion_named(name).function(given)
        lines.append(f"| `{name}` | {time.perf_counter() - start:.2f} |")
    return lines


def page(asked: argparse.Namespace) -> str:
    """The whole page in Markdown."""
    shape = "×".join(str(size) for size in LARGE)
    parts = [
        "# Speed of the weight criteria",
        f"`python benchmarks/criteria_speed.py --threads {asked.threads} --rounds {asked.rounds}`, torch "
        f"{torch.__version__}, {platform.machine()}, random float32 weights. Medians over the rounds; ratios "
        "within a round.",
        "## fpgm against its products",
        "Below 1 it is faster than the products `rows @ rows.T` alone: each pair of filters is multiplied "
        "once. The last ratio is to the products of just the tiles that it works on. The error is against "
        "distances pair by pair in float64. The memory is what the process grew by.",
        "\n".join(fpgm_table(asked.rounds)),
        "## Norms against reading the checkpoint",
        "Time to read ÷ time of the norm: 1 is the speed of reading. `numpy.sum` has one thread always.",
        "\n".join(norm_table(asked.rounds, asked.threads)),
        f"## Two rankings of {RANKED_FILTERS} filters",
        "\n".join(rank_table(asked.rounds)),
        f"## One layer of {shape}",
        "One run each.",
        "\n".join(layer_table()),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--rounds", type=int, default=5, help="measurements that count")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with torch.no_grad():
        text = page(asked)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
