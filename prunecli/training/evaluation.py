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
from prunecli.progress import Progress, silent
from prunecli.training.batches import Batches, floating_dtype
from prunecli.training.device import memory_in_words, pick_device
from prunecli.training.forward import check_fit, logits_of
from prunecli.training.states import modes_kept


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
    training modes are put back. Raises InputRefused for images or classes that do not fit the model,
    WorkFailed for an absent device, too little memory, or a loss that is not finite.
    """
    place = pick_device(device)
    with memory_in_words(batch_size), modes_kept(model):
        model.to(place).eval()
        batches = Batches(
            split, mean=mean, std=std, batch_size=batch_size, device=place, dtype=floating_dtype(model)
        )
        check_fit(model, batches, classes=split.classes)
        found = evaluate_batches(model, batches, progress=progress)
    if not math.isfinite(found.loss):
        raise WorkFailed(f"the loss on {found.images} images is {found.loss}, not a finite number")
    return found


@torch.no_grad()
def evaluate_batches(model: nn.Module, batches: Batches, *, progress: Progress = silent) -> Evaluation:
    """The same for batches at hand and a model that is on their device and in evaluation mode.

    The loss may come out as NaN or infinite here; nothing is raised.
    """
    start = time.perf_counter()
    sums = []
    done, classes = 0, 0
    for images, labels in batches.in_order():
        logits = logits_of(model(images)).float()
        classes = logits.shape[1]
        best = logits.topk(min(5, classes), dim=1).indices == labels[:, None]
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        # Kept on the device: reading a number here would wait for it at every batch.
        sums.append(torch.stack([best[:, 0].sum().float(), best.any(1).sum().float(), loss]))
        done += len(labels)
        progress("evaluate", done, len(batches), {})
    first, among_five, loss_sum = torch.stack(sums).cpu().double().sum(0).tolist()
    return Evaluation(
        accuracy=100 * first / done,
        top5=100 * among_five / done if classes > 5 else None,
        loss=loss_sum / done,
        images=done,
        images_per_second=done / (time.perf_counter() - start),
    )
