"""The scores that each of several processes finds by calibration; the test reads them from files.

python -m torch.distributed.run --nproc-per-node 2 tests/scoring_in_processes.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import networks
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.calibration import patches, uniting
from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Losses, Scene
from prunecli.criteria.contract import CRITERIA
from prunecli.graph.channel_graph import build_graph
from prunecli.processes import current, leave
from prunecli.scoring.filter_scores import FilterScores, needs_of, score_filters
from prunecli.workflows.calibrating import of_main

LOOKING = [name for name in CRITERIA if CRITERIA[name].needs_data]
SHAPE = (3, 8, 8)
IMAGES, BATCH = 23, 4
"""More than hrank and chip look at; six batches, the last of three images."""


class Undecided(networks.Plain):
    """A batch of one image goes another way around the second convolution than the trace has seen."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        last = self.conv2.weight if len(x) > 1 else self.conv2.weight * 1
        return self.head(functional.conv2d(x, last, self.conv2.bias, padding=1))


class _Once(torch.autograd.Function):
    """Twice its input, with a derivative that has none itself."""

    @staticmethod
    def forward(context, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        return 2 * gradient


class OnceDifferentiable(networks.Plain):
    def forward(self, x: Tensor) -> Tensor:
        return _Once.apply(super().forward(x))


_images_run: list[int] = []


def classify(model: nn.Module, images: Tensor, labels: Tensor) -> Losses:
    _images_run.append(len(images))
    logits = model(images)
    return Losses(functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels)


def scored(
    model: nn.Module,
    *,
    images: int = IMAGES,
    batch: int = BATCH,
    dtype: torch.dtype = torch.float32,
    criteria: Sequence[str] = LOOKING,
) -> FilterScores:
    """Layer → criterion → scores, on random images of five classes."""
    stream = torch.Generator().manual_seed(7)
    model = networks.randomised(model, 0).to(dtype)
    graph = build_graph(model, SHAPE)
    pictures = torch.randn(images, *SHAPE, generator=stream, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, 5, (images,), generator=stream)
    batches = list(zip(pictures.split(batch), labels.split(batch), strict=True))
    scene = Scene(model, graph, images, current())
    found = gather(scene, batches, classify, needs=needs_of(criteria))
    return score_filters(model, graph, criteria, gathered=found)


def images_run(criterion: str) -> Tensor:
    """(1,): how many images this process itself has run for the scores."""
    _images_run.clear()
    scored(networks.Plain(), criteria=[criterion])
    return torch.tensor([sum(_images_run)])


def findings() -> dict[str, FilterScores]:
    """Everything that is compared, by name."""
    found: dict[str, FilterScores] = {
        "single precision": scored(networks.Plain()),
        "double precision": scored(networks.Plain(), dtype=torch.float64),
        "called several times": scored(networks.SharedLayer(), dtype=torch.float64),
        "tokens": scored(networks.FusedAttention(), dtype=torch.float64),
        "one batch": scored(networks.Plain(), images=3, dtype=torch.float64),
        # The other process has none; only this one can find out that there is no second derivative.
        "no second derivative": scored(OnceDifferentiable(), images=3, criteria=["grasp", "taylor"]),
        # Batches of 3, 3, 3 and 1, which the second process runs.
        "lost in one": scored(Undecided(), images=10, batch=3),
    }
    index, other = current().index, None if current().main else torch.ones(2)
    own = {"layer": {"l1": torch.tensor([0.5, index]), "apoz": other, "l2": torch.full((3,), torch.nan)}}
    found["of the main one"] = of_main(own, current(), device=torch.device("cpu"))
    found["images run"] = {"layer": {name: images_run(name) for name in ("taylor", "grasp", "movement")}}
    kept = patches.PATCHES, uniting.BUNDLE
    patches.PATCHES, uniting.BUNDLE = 7, 50  # numbers at a time: less than most tensors have
    found["few patches"] = scored(networks.Plain(), criteria=["thinet", "cp_lasso", "cap", "taylor", "snip"])
    patches.PATCHES, uniting.BUNDLE = kept
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save(findings(), Path(sys.argv[1]) / f"{current().index}.pt")
    leave()
