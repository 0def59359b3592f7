"""One step of the optimiser: forward and backward over its batches, in one process or in step with others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.processes import Processes
from prunecli.training.augmentation import EpochPlan
from prunecli.training.averaging import Average
from prunecli.training.batches import Batch, Batches
from prunecli.training.caching import Cache, cache_beginning, inputs_repeat, leaves_weights
from prunecli.training.distillation import Teacher
from prunecli.training.forward import logits_of
from prunecli.training.freezing import freeze, frozen_modes
from prunecli.training.hooks import Hooks
from prunecli.training.optimisers import make_optimiser
from prunecli.training.precision import Precision
from prunecli.training.replicas import replicate
from prunecli.training.settings import FitSettings


class Stepper:
    """The network in training, with everything that changes at a step.

    A step is `losses_of`, then `change`; a loss that is not finite is refused between the two, and then
    `forget_step` makes what it has already changed undone.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        *,
        settings: FitSettings,
        processes: Processes,
        device: torch.device,
        teacher: nn.Module | None,
        hooks: Hooks,
    ) -> None:
        self.settings = settings
        self.processes = processes
        self.train = train
        self.hooks = hooks
        self.done = 0
        """Steps of the optimiser since the run began."""
        self.frozen = freeze(model, settings.freeze)
        self.precision = Precision(settings.precision, device)
        sample, _ = train.first(2)
        self.replica = replicate(
            model, lambda network: make_optimiser(network, settings), processes, sample=sample
        )
        self.average = self._fresh_average()
        self.teacher = None if teacher is None else self._taught(teacher, sample)
        # Running statistics change in the forward pass, before the loss is known. On an accelerator a bad
        # loss is noticed too late for them to be of use.
        self._buffers = list(self.replica.network.buffers()) if device.type == "cpu" else []
        self._buffers_before = [each.clone() for each in self._buffers]
        alone = processes.count == 1 and self.replica.module is self.replica.network
        self._may_cache = alone and inputs_repeat(settings) and leaves_weights(hooks)
        self._cache: Cache | None = None

    def _taught(self, teacher: nn.Module, sample: Tensor) -> Teacher:
        return Teacher(
            teacher,
            self.replica.network,
            weight=self.settings.distill,
            temperature=self.settings.temperature,
            similarity=self.settings.similarity,
            label_weight=self.settings.label_weight,
            sample_images=sample,
        )

    def _fresh_average(self) -> Average | None:
        decay = self.settings.ema_decay
        return None if decay is None else Average(self.replica.network, decay)

    def begin(self) -> None:
        """The first of all steps is next: let the strategy change weights, and average from there."""
        self.hooks.begin(self.replica.network, self.steps)
        self.average = self._fresh_average()

    @property
    def steps(self) -> int:
        """Steps of the optimiser in an epoch."""
        return -(-self.train.steps() // self.settings.accumulate)

    def begin_epoch(self, plan: EpochPlan) -> None:
        """Put the network in training mode, but for what is frozen; what never changes is computed once."""
        self.replica.settle()
        self.replica.module.train()
        frozen_modes(self.replica.network, self.frozen)
        self._plan = plan
        if self._may_cache:
            self._may_cache = False
            watched = None if self.teacher is None else self.teacher.watched
            self._cache = cache_beginning(
                self.replica.network, self.train, forward=self._logits, watched=watched
            )

    def _logits(self, images: Tensor) -> Tensor:
        with self.precision.forward():
            return logits_of(self.replica.module(images))

    def _taken_up(self, batch: int) -> AbstractContextManager[None]:
        """Inside, the network runs on `batch` of the epoch from where nothing is known yet."""
        if self._cache is None:
            return nullcontext()
        return self._cache.serving(self.train.chosen(self._plan, batch), self.train.device)

    def losses_of(self, batches: Iterator[Batch], step: int) -> tuple[Tensor, int]:
        """Forward and backward of the batches of `step`: mean loss and images, those of all processes."""
        first = step * self.settings.accumulate
        last = min(first + self.settings.accumulate, self.train.steps())
        sizes = [self.train.global_size(batch) for batch in range(first, last)]
        images, total = sum(sizes), None
        for kept, buffer in zip(self._buffers_before, self._buffers, strict=True):
            kept.copy_(buffer)
        self.replica.optimiser.zero_grad(set_to_none=True)
        for place, (inputs, labels) in enumerate(islice(batches, last - first)):
            # The mean over all images of the step, whichever process and batch they are in.
            share = len(inputs) / images
            with nullcontext() if place == last - first - 1 else self.replica.alone():
                loss = self._backward(first + place, inputs, labels, share)
            total = loss * share if total is None else total + loss * share
        assert total is not None  # an epoch has at least one batch
        return self.processes.total(total), images

    def _backward(self, batch: int, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """The mean loss of a batch; its gradient is added, so that the processes' mean is the step's."""
        watching = nullcontext() if self.teacher is None else self.teacher.watching()
        with self.precision.forward(), watching:
            with self._taken_up(batch):
                logits = logits_of(self.replica.module(images))
            loss = functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
            if self.teacher is not None:
                loss = self.teacher.loss(images, logits, loss)
        self.precision.backward(loss * (share * self.processes.count))
        return loss.detach()

    def change(self, lr: float) -> None:
        """Let the optimiser change the weights, then the strategy, then the average."""
        optimiser = self.replica.optimiser
        for group in optimiser.param_groups:
            group["lr"] = lr
        if self.settings.clip is not None:
            self.precision.unscale(optimiser)
            torch.nn.utils.clip_grad_norm_(self.replica.network.parameters(), self.settings.clip)
        self.precision.step(optimiser)
        self.hooks.after_step(self.replica.network, self.done)
        self.done += 1
        if self.average is not None:
            self.average.update(self.replica.network)

    def forget_step(self) -> None:
        """Put back what the forward pass of the last step has changed; the weights are as they were."""
        for kept, buffer in zip(self._buffers_before, self._buffers, strict=True):
            buffer.copy_(kept)
