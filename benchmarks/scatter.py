"""MACs of CIFAR ResNets whose branches are scattered into the stream, beside what SFP-like papers count.

    python benchmarks/scatter.py                      writes benchmarks/results/scatter.md
    python benchmarks/scatter.py -o -                 to the screen

Every row is a network that was cut: l2 scores, all blocks, `--residual scatter`. Its MACs are measured, and
the cuts of the smallest network are proved. Three ways to round a share to whole filters are cut; what is
left of the difference is then told by arithmetic, one cause a column.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from torch import nn

from prunecli.allocation.bounds import SCATTER, Bounds
from prunecli.allocation.choosing import allocate
from prunecli.architectures import build, resolve
from prunecli.cost.macs import measure
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.scattering import drop_whole, scatterable
from prunecli.surgery.verification import prove

RESULTS = Path(__file__).parent / "results" / "scatter.md"
SHAPE = (3, 32, 32)
DEPTHS = (20, 32, 56, 110)
# Keep ratio → percent fewer FLOPs of ResNet-20, 32, 56 and 110: what is to be reproduced.
TABLE = {
    "0.9": (15.0, 14.8, 14.7, 14.6),
    "0.8": (28.8, 28.5, 28.3, 28.1),
    "0.7": (41.6, 41.1, 40.9, 40.7),
    "0.6": (53.2, 52.7, 52.4, 52.2),
    "0.5": (63.8, 63.3, 62.9, 62.7),
}
# What He et al. 2019 (FPGM, table 1) print for networks that are pruned so.
PRINTED = {(20, "0.7"): 42.2, (20, "0.6"): 54.0, (32, "0.7"): 41.5, (32, "0.6"): 53.2, (56, "0.6"): 52.6}
PRINTED |= {(110, "0.7"): 40.8, (110, "0.6"): 52.3}
STEM = 3 * 16 * 9 * 32 * 32
STAGES = ((16, 16, 32 * 32), (16, 32, 16 * 16), (32, 64, 8 * 8))  # channels before, after, pixels
CLASSIFIER = 64 * 10
NOTE = """\
# What `--residual scatter` takes from CIFAR ResNets

Written by `OMP_NUM_THREADS=1 python benchmarks/scatter.py`. Per cent fewer MACs of networks that were cut
with l2 scores and `--residual scatter`; in brackets the difference to the first column, in points.

- *table*: what is to be reproduced.
- *floor*: `--ratio R` as the command line has it: floor(R · N) filters of N leave a layer.
- *int(keep · N) stay*: so many filters as the code of the papers leaves.
- *on average*: every layer rounded so that the layers of one width keep the share together.
- *no rounding*: the same blocks with a real number of filters, by arithmetic.
- *+ stem*: moreover the stem loses its share, and the first block reads what is left of it.
- *printed*: table 1 of the FPGM paper (He et al. 2019, arXiv:1811.00250).
- *+ wide*: moreover the two layers that widen the stream count as if they read the wide one.

The table is the last column: it has the stem pruned and counts two layers too large, before and after. What
the papers print is *+ stem*, to the digit. A network that keeps its stem is *no rounding*, and whole filters
move it by up to four points.
"""


class Subject:
    """One network with scatters of all channels, scored once."""

    def __init__(self, depth: int) -> None:
        whole = build(resolve(f"cifar/resnet{depth}")).eval()
        self.model: nn.Module = scatterable(whole, build_graph(whole, SHAPE))
        self.graph: ChannelGraph = build_graph(self.model, SHAPE)
        scores = score_filters(self.model, self.graph, ["l2"])
        self.scores = score_groups(self.graph.prunable, self.graph.layers, scores, "l2")
        self.macs = measure(self.model, SHAPE).macs
        self.proved = depth == DEPTHS[0]

    def reduction(self, kept: dict[str, int]) -> float:
        """Per cent fewer MACs when so many filters stay in each layer."""
        widths = {group.name: group.channels for group in self.graph.prunable}
        leaving = {name: Fraction(width - kept[name], width) for name, width in widths.items()}
        return self.cut(0, Bounds(residual=SCATTER, layer_ratio=leaving))

    def cut(self, ratio: float | Fraction, bounds: Bounds) -> float:
        """Per cent fewer MACs of the cut network."""
        chosen = allocate(self.graph, self.scores, ratio=ratio, bounds=bounds)
        planned = make_plan(self.graph, chosen.removed)
        cut = drop_whole(carry_out(planned.plan, copy.deepcopy(self.model)))
        if self.proved:
            prove(self.graph, self.model, cut, chosen.removed)
        return 100 * (1 - measure(cut, SHAPE).macs / self.macs)

    def on_average(self, keep: Fraction) -> dict[str, int]:
        """Filters that stay in each layer so that the blocks of a width keep the share together."""
        kept, owed = {}, dict.fromkeys((16, 32, 64), Fraction(0))
        for group in self.graph.prunable:
            first = group.name.endswith("conv1")
            if first:
                owed[group.channels] += keep * group.channels
                count = round(owed[group.channels])
                owed[group.channels] -= count
            kept[group.name] = count  # both layers of a block alike
        return kept


def counted(depth: int, keep: float, *, stem: bool = False, wide: bool = False) -> float:
    """Per cent fewer MACs with a real number of filters; the arguments are the columns of the same names."""
    before = STEM + (0 if wide else CLASSIFIER)
    after = STEM * (keep if stem else 1) + (0 if wide else CLASSIFIER)
    for number, (narrow, width, pixels) in enumerate(STAGES):
        for block in range((depth - 2) // 6):
            reads = narrow if block == 0 and not wide else width
            first, second = 9 * pixels * reads * width, 9 * pixels * width * width
            behind_stem = stem and number == block == 0
            before += first + second
            after += first * keep * (keep if behind_stem else 1) + second * keep**2
    return 100 * (1 - after / before)


def rows(report: Callable[[str], None]) -> Iterator[str]:
    """The lines of the table."""
    yield (
        "| network | keep | table | floor | int(keep · N) stay | on average | no rounding | + stem | printed "
        "| + wide |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for place, depth in enumerate(DEPTHS):
        subject = Subject(depth)
        for text, published in TABLE.items():
            keep, goal = Fraction(text), published[place]
            held = {g.name: int(keep * g.channels) for g in subject.graph.prunable}
            found = [
                subject.cut(1 - keep, Bounds(residual=SCATTER)),
                subject.reduction(held),
                subject.reduction(subject.on_average(keep)),
                counted(depth, float(keep)),
                counted(depth, float(keep), stem=True),
            ]
            printed = PRINTED.get((depth, text))
            cells = [f"{each:.1f} ({each - goal:+.1f})" for each in found]
            cells += ["" if printed is None else f"{printed:.1f}"]
            last = counted(depth, float(keep), stem=True, wide=True)
            cells += [f"{last:.1f} ({last - goal:+.2f})"]
            yield " | ".join([f"| ResNet-{depth}", text, f"{goal:.1f}", *cells]) + " |"
        report(f"ResNet-{depth}")


def main() -> None:
    """Cut, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", default=str(RESULTS), help="file, or - for the screen")
    asked = parser.parse_args()
    text = NOTE + "\n" + "\n".join(rows(print)) + "\n"
    if asked.output == "-":
        print(text)
    else:
        Path(asked.output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
