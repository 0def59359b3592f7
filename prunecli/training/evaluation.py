"""Accuracy and loss of a classifier on one part of a data set."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from prunecli.data import Split
from prunecli.errors import WorkFailed
from prunecli.processes import Processes, current
from prunecli.progress import Progress, silent
from prunecli.training.batches import Batches
from prunecli.training.forward import logits_of
from prunecli.training.running import running


@dataclass(frozen=True)
class Evaluation:
    """Figures of one part of a data set.

    `accuracy` and `top5` in percent, `top5` None for five classes or fewer; `loss` is the mean cross-entropy.
    """

    accuracy: float
    top5: float | None
    loss: float
    images: int
    images_per_second: float


def evaluate(
    model: nn.Module,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
    device: str = "cpu",
    progress: Progress = silent,
) -> Evaluation:
    """Run every image of `split` through `model` once, in evaluation mode and without gradients.

    `mean` and `std` per channel on the 0..1 scale. The model is moved to `device` and left there; its
    training modes are put back. Under a launcher every process runs its share, and all have the same figures.
    Raises InputRefused for images or classes that do not fit the model,
    WorkFailed for an absent device, too little memory, or a loss that is not finite.
    """
    with running(model, split, mean=mean, std=std, batch_size=batch_size, device=device) as batches:
        found = evaluate_batches(model, batches, processes=current(), progress=progress)
    if not math.isfinite(found.loss):
        raise WorkFailed(f"the loss on {found.images} images is {found.loss}, not a finite number")
    return found


@torch.no_grad()
def evaluate_batches(
    model: nn.Module,
    batches: Batches,
    *,
    processes: Processes | None = None,
    together: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """The same for batches at hand and a model that is on their device and in evaluation mode.

    The figures are of the images of all `processes`, each counted once. `together`: every forward pass needs
    all of them, so one that has no batch left runs its last one again without counting it. The loss may
    come out as NaN or infinite here; nothing is raised.
    """
    processes = processes or Processes()
    start = time.perf_counter()
    sums = torch.zeros(4, dtype=torch.float64, device=batches.device)
    done, classes = 0, 0
    for images, labels in batches.in_order():
        logits = logits_of(model(images)).float()
        classes = logits.shape[1]
        best = logits.topk(min(5, classes), dim=1).indices == labels[:, None]
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        # Kept on the device: reading a number here would wait for it at every batch.
        sums += torch.stack(
            [best[:, 0].sum(), best.any(1).sum(), loss, loss.new_tensor(len(labels))]
        ).double()
        done += len(labels)
        progress("evaluate", min(done * processes.count, len(batches)), len(batches), {})
    if together:
        _keep_company(model, batches, processes)
    first, among_five, loss_sum, count = processes.total(sums).cpu().tolist()
    return Evaluation(
        accuracy=100 * first / count,
        top5=100 * among_five / count if classes > 5 else None,
        loss=loss_sum / count,
        images=int(count),
        images_per_second=count / (time.perf_counter() - start),
    )


def _keep_company(model: nn.Module, batches: Batches, processes: Processes) -> None:
    """Take part in the forward passes of processes that have one batch more than this one."""
    everyone = -(-len(batches) // batches.batch_size)
    most = -(-everyone // processes.count)
    own = len(range(processes.index, everyone, processes.count))
    for _ in range(most - own):
        model(batches.first(1)[0])
