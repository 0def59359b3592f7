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
from prunecli.scoring.filter_scores import needs_of, score_filters

LOOKING = [name for name in CRITERIA if CRITERIA[name].needs_data]
SHAPE = (3, 8, 8)
IMAGES, BATCH = 23, 4
"""More than hrank and chip look at; six batches, the last of three images."""

Scores = dict[str, dict[str, Tensor | None]]


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


def classify(model: nn.Module, images: Tensor, labels: Tensor) -> Losses:
    logits = model(images)
    return Losses(functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels)


def scored(
    model: nn.Module,
    *,
    images: int = IMAGES,
    batch: int = BATCH,
    dtype: torch.dtype = torch.float32,
    criteria: Sequence[str] = LOOKING,
) -> Scores:
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


def findings() -> dict[str, Scores]:
    """Everything that is compared, by name."""
    found = {
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
    kept = patches.PATCHES, uniting.BUNDLE
    patches.PATCHES, uniting.BUNDLE = 7, 50  # numbers at a time: less than most tensors have
    found["few patches"] = scored(networks.Plain(), criteria=["thinet", "cp_lasso", "cap", "taylor", "snip"])
    patches.PATCHES, uniting.BUNDLE = kept
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save(findings(), Path(sys.argv[1]) / f"{current().index}.pt")
    leave()
