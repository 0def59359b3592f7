"""What pruning along a training costs, against the plain training of the same epochs on the same images.

    python benchmarks/soft_overhead.py                                   the bundled ResNet-8 on its digits
    python benchmarks/soft_overhead.py --checkpoint resnet20.pt --data cifar10/ --images 2000 \
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --write

The runs take turns, round after round, and the first round is not counted. All times are processor time.
Shown are medians: the time inside the strategy over that of the rest of the same run, which noise hardly
touches, and the whole run over the plain one of the same round.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from prunecli import FitSettings, Opening
from prunecli.allocation.bounds import Bounds
from prunecli.data import Split, TrainingData
from prunecli.graph.channel_graph import build_graph
from prunecli.strategies.contract import STRATEGIES, PruningTask
from prunecli.strategies.procedures.in_training import SoftPruning
from prunecli.training.fitting import fit
from prunecli.version import __version__
from prunecli.workflows.calibrating import Scorer
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import Opened, open_checkpoint
from prunecli.workflows.ranking import Ranker

RESULT = Path(__file__).parent / "results" / "soft_overhead.md"
PLAIN = "plain"
WAYS = (PLAIN, "hfp", "sfp", "srfp", "ghfp", "agp", "one-cycle")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every run trains."""

    opening: Opening
    opened: Opened
    data: TrainingData
    settings: FitSettings
    ratio: float

    def task(self, strategy: str, model: nn.Module) -> PruningTask:
        """What the strategy's hooks work on, as `prune` makes it."""
        graph = build_graph(model, self.opened.architecture.input_shape)
        scorer = Scorer(
            opening=self.opening,
            opened=self.opened,
            graph=graph,
            criteria=("l2",),
            calibration=Calibration(None, 8, self.settings.batch_size, False),
        )
        ranker = Ranker(
            graph=graph,
            scorer=scorer,
            asked={"criterion": "l2", "ratio": self.ratio, "scope": "local"},
            bounds=Bounds(),
            widths={group.name: group.channels for group in graph.prunable},
            saved=None,
        )
        return PruningTask(
            model=model,
            graph=graph,
            ratio=self.ratio,
            rank=ranker.rank,
            rank_by=ranker.rank_by,
            after=lambda network: self.task(strategy, network),
            parts=STRATEGIES[strategy].parts,
            data=self.data,
            settings=self.settings,
        )

    def seconds(self, way: str) -> tuple[float, float]:
        """Processor seconds of one run, and those inside the strategy; tracing is not part of it."""
        model = copy.deepcopy(self.opened.model)
        hooks = None if way == PLAIN else Timed(self.task(way, model), self.settings.epochs)
        start = time.process_time()
        fit(model, self.data, settings=self.settings, hooks=hooks)
        return time.process_time() - start, 0.0 if hooks is None else hooks.inside


class Timed(SoftPruning):
    """The strategy with a clock around everything that `fit` calls of it."""

    inside = 0.0

    @contextmanager
    def _clock(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.inside += time.process_time() - start

    def begin(self, model: nn.Module, steps: int) -> None:
        """The strategy's own, timed."""
        with self._clock():
            super().begin(model, steps)

    def after_step(self, model: nn.Module, step: int) -> None:
        """The strategy's own, timed."""
        with self._clock():
            super().after_step(model, step)

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """The strategy's own, timed."""
        with self._clock():
            super().after_epoch(model, epoch)


def measured(work: Work, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Way → time inside the strategy over the rest, and the run over the plain one of the same round."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for round_ in range(rounds + 1):
        spent = {way: work.seconds(way) for way in (WAYS if round_ % 2 else reversed(WAYS))}
        if round_:
            for way, (whole, inside) in spent.items():
                found[way].append((inside / (whole - inside), whole / spent[PLAIN][0]))
    return found


def table(found: dict[str, list[tuple[float, float]]]) -> list[str]:
    """The medians, with the least and the most."""
    lines = ["| training | inside the strategy | the whole run over the plain one |", "|---|---:|---:|"]
    for way, ratios in found.items():
        inside, whole = zip(*ratios, strict=True)
        lines.append(
            f"| {way} | {100 * statistics.median(inside):.2f} % "
            f"| {statistics.median(whole):.3f} ({min(whole):.3f} to {max(whole):.3f}) |"
        )
    return lines


def taken(split: Split, count: int) -> Split:
    """The first images of a split after one fixed shuffle."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:count]
    return Split(split.pixels(order), split.labels[order], split.classes)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    return tuple(float(part) for part in text.split(","))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint")
    parser.add_argument("--data")
    parser.add_argument("--mean", type=numbers)
    parser.add_argument("--std", type=numbers)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    opening = Opening(checkpoint=chosen.checkpoint, mean=chosen.mean, std=chosen.std)
    opened = open_checkpoint(opening)
    images = open_images(opened, chosen.data)
    data = images.data.for_training()
    data = TrainingData(
        data.name,
        taken(data.train, chosen.images),
        taken(data.validation, 100),
        data.classes,
        data.mean,
        data.std,
    )
    settings = FitSettings(epochs=chosen.epochs, mean=images.mean, std=images.std)
    work = Work(opening=opening, opened=opened, data=data, settings=settings, ratio=chosen.ratio)
    lines = [
        "# What pruning along a training costs",
        "",
        f"Written by `benchmarks/soft_overhead.py`: {opened.architecture.name}, {chosen.images} images "
        f"of {Path(data.name).name}, {chosen.epochs} epochs, ratio {chosen.ratio:g}, {chosen.rounds} rounds, "
        f"one thread; prunecli {__version__}, torch {torch.__version__}. Processor time, medians (least to "
        "most); other work ran on the machine.",
        "",
        *table(measured(work, chosen.rounds)),
    ]
    print("\n".join(lines))
    if chosen.write:
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
