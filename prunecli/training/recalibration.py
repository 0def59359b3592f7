"""Batch-norm recalibration: means and variances measured again after channels have gone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunecli.data import Split
from prunecli.errors import WrongUse
from prunecli.processes import current
from prunecli.training.augmentation import plan_epoch
from prunecli.training.batches import Batches
from prunecli.training.replicas import average_batch_norms
from prunecli.training.running import running
from prunecli.training.states import restore, snapshot

RECALIBRATION_BATCHES = 10


def recalibrate_batch_norm(
    model: nn.Module,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batches: int = RECALIBRATION_BATCHES,
    batch_size: int = 256,
    seed: int = 0,
    device: str = "cpu",
) -> int:
    """Replace the running statistics of every batch norm by their plain average over some batches.

    `split` is the training part; up to `batches` (at least 1) batches are drawn from it by `seed`. Only
    batch norms run in training mode, so dropout stays off, and no parameter changes. Under a launcher every
    process runs its share of the batches, and all end with the same statistics. The model is moved to
    `device` and left there. Returns the number of layers; without any, nothing is run. When it fails, the
    old statistics are put back. Raises what `evaluate` raises.
    """
    layers = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    if not layers:
        return 0
    if batches < 1:
        raise WrongUse(
            f"batch norms cannot be recalibrated on {batches} batches", hints=["valid: at least 1"]
        )
    momenta = [layer.momentum for layer in layers]
    processes = current()
    with running(model, split, mean=mean, std=std, batch_size=batch_size, device=device) as source:
        before = snapshot(model)
        try:
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None  # a cumulative average, every batch with the same weight
                layer.train()
            own = -(-batches // processes.count)
            done = _run(model, source, batches=own, seed=seed, split=split)
            average_batch_norms(model, processes, weight=done)
        except BaseException:
            restore(model, before)
            raise
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
    return len(layers)


@torch.no_grad()
def _run(model: nn.Module, source: Batches, *, batches: int, seed: int, split: Split) -> int:
    """Run up to `batches` of this process's batches; how many there were."""
    plan = plan_epoch(len(split), image_shape=split.image_shape, augment="none", seed=seed, epoch=0)
    done = 0
    for images, _ in islice(source.by_plan(plan), batches):
        model(images)
        done += 1
    return done
