"""The Markdown and the picture of what `strategies.py` has found; verdicts are computed from the lines."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]

LOW = 0.5
BITES = ("iterative", "geometric", "geometric-half", "hybrid")
SOFT = ("hfp", "sfp", "asfp", "srfp", "asrfp", "ghfp")
NAMES = {"one-shot": "one-shot, then `finetune`", "geometric-half": "geometric, half of it `finetune`"}
NETWORKS = {
    "resnet20": "ResNet-20, residual sums cut together (`--resnet20`: trained on all 50,000 images before)",
    "plain": "VGG with six convolutions of 24, 24, 48, 48, 96 and 96 filters (`--make-network`)",
}
TITLES = {"resnet20": "ResNet-20", "plain": "Plain network"}


INTRODUCTION = """\
Written by `benchmarks/strategies.py --table` from `strategies.jsonl`. Every run has the same epochs in all,
on 10,000 training images (1,000 a class; a tenth of them chooses the epoch): SGD, the rate falling to
nothing on a cosine, batch 128, augmentation `cifar`, criterion l2, scope local, batch norms measured again
on 10 batches. The 10,000 test images steer nothing. Cells are mean ± standard deviation (n − 1) over {seeds}
seeds. prunecli {prunecli}, torch {torch}, Python {python}, one thread.

`iterative` and `geometric` take four bites, and the rate begins anew after each. `hybrid` has
`--later-bites 0.25`, 0.5 at 0.9, so that its bites fit into the epochs; the first has two or three of them.
"""

SHORTCOMINGS = """\
## What falls short

- **Few epochs.** The papers train for about 200. Here the schedules of the soft family run in a few steps,
  most bites are trained for one epoch, and no network is trained to its end.
- **Few seeds**, and where a cell says so fewer: the runs were stopped by the clock. The commands go on.
- **The start is a trained network.** SFP's published figures are mostly of networks trained from scratch.
- **Validation flatters.** Both networks have seen the validation images before the cut. And asfp, asrfp and
  ghfp have not pruned the whole ratio before their last epochs, srfp and asrfp have not zeroed what they
  pruned: what they score until then is of a larger network, so an early lead is no proof of faster learning.
- **Equal epochs are not equal work.** The soft family trains the whole network to its end.
- **The images are strong JPEG copies**, so accuracies lie below the published ones, and both networks are
  small.
- **One rate for all.** No way had its own rate searched.
- **Batch norms** were measured again at the end of every run, which costs hfp two points. Since then a
  network that was trained along the way keeps the numbers that its validation part prefers.
"""

PAIRED = """\
Differences are paired by seed. What is within its spread (one standard deviation) shows nothing, and with so
few seeds what is little beyond it shows little. "The best of the bites" was picked by the same numbers.
"""

COMMANDS = """\
## Commands

`CIFAR` is CIFAR-10 as an image folder, `RESNET20` a checkpoint of that network trained on it.
`--shard 1/2` and `--shard 2/2` share the runs between two processes.

```sh
python benchmarks/strategies.py --cifar CIFAR --make-network
python benchmarks/strategies.py --cifar CIFAR --resnet20 RESNET20 --networks resnet20
python benchmarks/strategies.py --cifar CIFAR --networks plain --ratios 0.5,0.9
python benchmarks/strategies.py --table
```
"""


@dataclass(frozen=True)
class Group:
    """The lines of one network with one budget: epochs, and the rate they begin with."""

    network: str
    epochs: int
    lr: float
    lines: Sequence[Record]

    @property
    def title(self) -> str:
        """Network and budget."""
        return f"{TITLES[self.network]}, {self.epochs} epochs, rate {self.lr:g}"

    @property
    def ratios(self) -> list[float]:
        """Those that bites were run at."""
        return sorted({line["ratio"] for line in self.lines if line["way"] in BITES})

    @property
    def soft_ratio(self) -> float | None:
        """That of the soft family."""
        return next((line["ratio"] for line in self.lines if line["way"] in SOFT), None)

    def of(self, way: str, ratio: float | None) -> dict[int, Record]:
        """Seed → line."""
        return {line["seed"]: line for line in self.lines if line["way"] == way and line["ratio"] == ratio}

    def tests(self, way: str, ratio: float | None) -> dict[int, float]:
        """Seed → test accuracy at the end."""
        return {seed: line["accuracy"]["after"] for seed, line in self.of(way, ratio).items()}

    def courses(self, way: str) -> dict[int, list[float]]:
        """Seed → validation accuracy of each epoch, at the ratio of the soft family."""
        found = self.of(way, self.soft_ratio)
        return {seed: [each["accuracy"] for each in line["history"]] for seed, line in found.items()}


def groups_of(lines: Iterable[Record]) -> list[Group]:
    """Fewer epochs first, ResNet-20 before the plain network."""
    found: dict[tuple[str, int, float], list[Record]] = {}
    for line in lines:
        found.setdefault((line["network"], line["epochs"], line["lr"]), []).append(line)
    order = list(TITLES)
    keys = sorted(found, key=lambda key: (key[1], -key[2], order.index(key[0])))
    return [Group(*key, found[key]) for key in keys]


@dataclass(frozen=True)
class Difference:
    """Points between two ways, paired by seed: mean and standard deviation (n − 1)."""

    mean: float
    spread: float
    seeds: int

    @classmethod
    def between(cls, first: dict[int, float], second: dict[int, float]) -> Difference | None:
        """First minus second over the seeds that both have."""
        found = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
        return cls(statistics.mean(found), _deviation(found), len(found)) if found else None

    @property
    def sign(self) -> int:
        """1 or −1 where the mean is beyond the spread, else 0."""
        return 0 if abs(self.mean) <= self.spread else (1 if self.mean > 0 else -1)

    def __str__(self) -> str:
        spread = f" ± {self.spread:.2f} ({self.seeds} seeds)" if self.seeds > 1 else ""
        return f"{self.mean:+.2f}{spread}"

    def verdict(self, holds: int, *, draw_will_do: bool = False) -> str:
        """Of the claim that the sign is `holds`; with `draw_will_do`, that it is not the other one."""
        if self.seeds == 1:
            return "one seed only"
        if self.sign == 0:
            return f"{'holds' if draw_will_do else 'not shown'}: within the spread"
        return "holds" if self.sign == holds else "does not hold"

    @property
    def word(self) -> str:
        """What it says."""
        if self.seeds == 1:
            return "one seed"
        return {1: "higher", 0: "within the spread", -1: "lower"}[self.sign]


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def cell(values: Iterable[float], seeds: int) -> str:
    """Mean and spread; the number of seeds where some are missing."""
    if not (found := list(values)):
        return ""
    missing = f" ({len(found)} of {seeds} seeds)" if len(found) < seeds else ""
    spread = f" ± {_deviation(found):.2f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.2f}{spread}{missing}"


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def name_of(way: str) -> str:
    """As the tables call it."""
    return NAMES.get(way, way)


def networks_table(groups: Sequence[Group]) -> list[str]:
    """What they are before anything is cut."""
    lines = [row("network", "parameters", "MACs", "test, %"), "|---|---:|---:|---:|"]
    for name in dict.fromkeys(group.network for group in groups):
        first = next(line for group in groups if group.network == name for line in group.lines)
        sizes = (f"{first[size][0]:,}" for size in ("params", "macs"))
        lines.append(row(NETWORKS[name], *sizes, f"{first['accuracy']['before']:.2f}"))
    return [*lines, ""]


def reduction(group: Group, size: str, ratio: float) -> str:
    """How much of the parameters or MACs has gone at a ratio."""
    before, after = next(iter(group.of("one-shot", ratio).values()))[size]
    return f"−{100 * (1 - after / before):.1f} %"


def ways_table(group: Group, seeds: int) -> list[str]:
    """Test accuracy of one cut and of bites at every ratio."""
    ratios = [ratio for ratio in group.ratios if group.of("one-shot", ratio)]
    head = row("way", *(f"{ratio:g}" for ratio in ratios))
    lines = [f"### {group.title}", "", head, "|---|" + "---:|" * len(ratios)]
    for way in ("one-shot", *BITES):
        cells = [cell(group.tests(way, ratio).values(), seeds) for ratio in ratios]
        lines += [row(name_of(way), *cells)] if any(cells) else []
    for size, word in (("params", "parameters"), ("macs", "MACs")):
        lines.append(row(f"*{word}*", *(reduction(group, size, ratio) for ratio in ratios)))
    return [*lines, ""]


def soft_table(group: Group, seeds: int) -> list[str]:
    """Validation accuracy per epoch, then the test accuracy after the cut and at the end."""
    lines = [
        f"### {group.title}, ratio {group.soft_ratio:g}",
        "",
        row(
            "strategy", *map(str, range(1, group.epochs + 1)), "right after the cut, test", "at the end, test"
        ),
        "|---|" + "---:|" * (group.epochs + 2),
    ]
    for way in ("one-shot", *SOFT):
        if not (found := group.of(way, group.soft_ratio)):
            continue
        courses = zip(*group.courses(way).values(), strict=True)
        means = (f"{statistics.mean(each):.1f}" for each in courses)
        cuts = [line["accuracy"]["cut"] for line in found.values()]
        ends = group.tests(way, group.soft_ratio).values()
        lines.append(row(name_of(way), *means, cell(cuts, seeds), cell(ends, seeds)))
    return [*lines, ""]


def against_one_cut(group: Group) -> list[str]:
    """Bites minus one cut."""
    ratios = group.ratios
    head = row(f"{TITLES[group.network]}: minus one-shot", *(f"{ratio:g}" for ratio in ratios))
    lines = [head, "|---|" + "---:|" * len(ratios)]
    for way in BITES:
        found = [_minus_one_cut(group, way, ratio) for ratio in ratios]
        cells = ["" if each is None else f"{each}, {each.word}" for each in found]
        lines += [row(name_of(way), *cells)] if any(cells) else []
    return [*lines, ""]


def _minus_one_cut(group: Group, way: str, ratio: float) -> Difference | None:
    return Difference.between(group.tests(way, ratio), group.tests("one-shot", ratio))


def claim_of_bites(group: Group) -> list[str]:
    """Whether one cut wins at low ratios, and bites at high ones."""
    lines = []
    for ratio in group.ratios:
        low = ratio <= LOW
        found = {way: _minus_one_cut(group, way, ratio) for way in BITES}
        if not (known := {way: each for way, each in found.items() if each is not None}):
            continue
        best = max(known, key=lambda way: known[way].mean)
        claim = f"{'one-shot wins low' if low else 'bites win high'}: {ratio:g}"
        verdict = known[best].verdict(-1 if low else 1)
        shown = f"the best of the bites, {name_of(best)}, minus one-shot: {known[best]}"
        lines.append(row(claim, group.title, shown, verdict))
    return lines


HALF, END = "second half of the epochs, validation", "at the end, test"
SOFT_CLAIMS = (
    ("ghfp converges faster than sfp", "ghfp", "sfp", False, HALF),
    ("ghfp ends at least as high as hfp", "ghfp", "hfp", True, END),
    ("ghfp ends at least as high as sfp", "ghfp", "sfp", True, END),
    ("asfp ends higher than sfp", "asfp", "sfp", False, END),
    ("srfp ends higher than sfp", "srfp", "sfp", False, END),
    ("asrfp ends higher than asfp", "asrfp", "asfp", False, END),
)
"""Claim, the two that are compared, whether a draw will do, and by what."""


def claims_of_soft(group: Group) -> list[str]:
    """The claims of the family's papers."""
    lines = []
    for claim, first, second, draw_will_do, by in SOFT_CLAIMS:
        pair = [
            _late(group, way) if by == HALF else group.tests(way, group.soft_ratio) for way in (first, second)
        ]
        if (found := Difference.between(*pair)) is not None:
            verdict = found.verdict(1, draw_will_do=draw_will_do)
            lines.append(row(claim, group.title, f"{found} ({by})", verdict))
    return lines


def _late(group: Group, way: str) -> dict[int, float]:
    """Seed → mean validation accuracy of the second half; ghfp has seven eighths of its ratio by then."""
    courses = group.courses(way).items()
    return {seed: statistics.mean(course[len(course) // 2 :]) for seed, course in courses}


def claims(groups: Sequence[Group]) -> list[str]:
    """All claims with their numbers and what follows."""
    lines = [row("claim", "measured on", "difference, points", "verdict"), "|---|---|---|---|"]
    bitten = [group for group in groups if group.ratios]
    soft = [group for group in groups if group.soft_ratio is not None]
    for group in bitten:
        lines += claim_of_bites(group)
    for group in soft:
        lines += claims_of_soft(group)
    lines.append("")
    for group in bitten:
        lines += against_one_cut(group)
    return lines


def report(lines: Sequence[Record], picture: str) -> str:
    """The whole Markdown."""
    groups = groups_of(lines)
    seeds = 1 + max(line["seed"] for line in lines)
    soft = [group for group in groups if group.soft_ratio is not None]
    return "\n".join(
        [
            "# One cut, bites and the soft family on CIFAR-10",
            "",
            INTRODUCTION.format(seeds=seeds, **lines[-1]["versions"]),
            f"![Accuracy against the ratio, and over the epochs]({picture})",
            "",
            *networks_table(groups),
            "## One cut and bites: test accuracy, %",
            "",
            *(each for group in groups if group.ratios for each in ways_table(group, seeds)),
            "## Hard, soft and in between: validation accuracy after each epoch, %",
            "",
            "Between the last two columns `prune` measures batch norms again, if validation gains by it.",
            "",
            *(each for group in soft for each in soft_table(group, seeds)),
            "## What the papers claim",
            "",
            PAIRED,
            *claims(groups),
            SHORTCOMINGS,
            COMMANDS,
        ]
    )


def draw(lines: Sequence[Record], path: Path) -> None:
    """A row of two pictures for each network: accuracy against the ratio, and over the epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = groups_of(lines)
    figure = Figure(figsize=(12, 3.6 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    for (left, right), group in zip(figure.subplots(len(groups), 2, squeeze=False), groups, strict=True):
        draw_ratios(left, group)
        draw_epochs(right, group)
    figure.savefig(path, dpi=110)


def draw_ratios(axes: Any, group: Group) -> None:
    """Test accuracy of one cut and of bites."""
    if not group.ratios:
        axes.set_axis_off()
        return
    axes.axhline(group.lines[0]["accuracy"]["before"], color="0.5", linestyle="--", label="before")
    for at, way in enumerate(("one-shot", *BITES)):
        found = [(ratio, list(group.tests(way, ratio).values())) for ratio in group.ratios]
        known = [(ratio, statistics.mean(each), _deviation(each)) for ratio, each in found if each]
        if known:
            ratios, means, spreads = zip(*known, strict=True)
            label = "one-shot, then finetune" if way == "one-shot" else name_of(way)
            axes.errorbar(ratios, means, spreads, marker="o", capsize=3, color=f"C{at}", label=label)
    axes.set(title=group.title, xlabel="ratio", ylabel="test accuracy, %", xticks=group.ratios)
    _legend(axes)


def _legend(axes: Any) -> None:
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def draw_epochs(axes: Any, group: Group) -> None:
    """Validation accuracy of the soft family; a star is the test accuracy at the end."""
    from matplotlib.ticker import MaxNLocator

    for at, way in enumerate((*SOFT, "one-shot")):
        if not (courses := list(group.courses(way).values())):
            continue
        means = [statistics.mean(each) for each in zip(*courses, strict=True)]
        color = "0.3" if way == "one-shot" else f"C{at}"
        style = "--" if way == "one-shot" else "-"
        axes.plot(range(1, len(means) + 1), means, style, marker=".", color=color, label=way)
        end = statistics.mean(group.tests(way, group.soft_ratio).values())
        axes.plot(group.epochs + 0.4, end, "*", color=color)
    axes.plot([], [], "*", color="0.3", label="at the end, test")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{group.title}, ratio {group.soft_ratio:g}"
    axes.set(title=title, xlabel="epoch", ylabel="validation accuracy, %")
    _legend(axes)


def write_report(lines: Sequence[Record], target: Path) -> None:
    """The Markdown, and the picture beside it."""
    picture = target.with_suffix(".png")
    draw(lines, picture)
    target.write_text(report(lines, picture.name), encoding="utf-8")
    print(target)
