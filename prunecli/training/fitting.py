"""The training loop: SGD on the training part, the best state by the validation part kept and restored."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn import functional

from prunecli.data import Split, TrainingData
from prunecli.errors import WorkFailed
from prunecli.progress import Progress, silent
from prunecli.training.augmentation import epoch_seed, plan_epoch
from prunecli.training.batches import Batches, floating_dtype
from prunecli.training.device import memory_in_words, pick_device
from prunecli.training.evaluation import evaluate_batches
from prunecli.training.forward import check_fit, logits_of
from prunecli.training.hooks import Hooks
from prunecli.training.losses import ADVICE, LossLog
from prunecli.training.schedule import learning_rate
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.training.states import modes_kept, restore, snapshot

# Reading the loss makes an accelerator wait for the CPU, so there it is looked at only now and then.
_STEPS_BETWEEN_LOOKS = 50
_SECONDS_BETWEEN_REPORTS = 0.2


def fit(
    model: nn.Module,
    data: TrainingData,
    *,
    settings: FitSettings,
    progress: Progress = silent,
    hooks: Hooks | None = None,
) -> FitResult:
    """Train `model` in place; it ends in the state with the best validation accuracy (ties: lower loss).

    `data` comes from `DataSet.for_training()`; a whole data set is refused with a TypeError, because its
    test part has no business here. Order and augmentation come from (seed, epoch) alone: on the CPU, with
    the same number of threads, the same call gives the same weights. The model is moved to the settings'
    device and left there, its training modes are put back.

    Raises InputRefused for images or classes that do not fit the model, WorkFailed for an absent device,
    too little memory, or a loss that is not finite (naming epoch and step). Whatever ends it early, an
    interruption too, the model holds the best state so far, or its first if no epoch counted yet.
    """
    if not isinstance(data, TrainingData):
        raise TypeError("fit() is given DataSet.for_training(), which has no test part")
    place = pick_device(settings.device)
    with memory_in_words(settings.batch_size), modes_kept(model), _own_random_numbers(place):
        run = _Run(model.to(place), data, settings=settings, progress=progress, hooks=hooks or Hooks())
        try:
            for epoch in range(settings.epochs):
                run.train_and_judge(epoch)
        except BaseException:
            restore(model, run.best_state)
            raise
        return run.finish()


def _own_random_numbers(place: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[place] if place.type == "cuda" else [])


class _Run:
    """One call of `fit`: what it holds from epoch to epoch."""

    def __init__(
        self, model: nn.Module, data: TrainingData, *, settings: FitSettings, progress: Progress, hooks: Hooks
    ) -> None:
        self.model = model
        self.settings = settings
        self.progress = progress
        self.hooks = hooks
        self.image_shape = data.train.image_shape
        self.train = self._batches(data.train, data, batch_size=settings.batch_size)
        self.validation = self._batches(data.validation, data, batch_size=max(256, settings.batch_size))
        model.eval()
        check_fit(model, self.train, classes=len(data.classes))
        self.optimiser = torch.optim.SGD(
            [each for each in model.parameters() if each.requires_grad],
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov and settings.momentum > 0,
        )
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.best_state = snapshot(model)

    def _batches(self, split: Split, data: TrainingData, *, batch_size: int) -> Batches:
        return Batches(
            split,
            mean=self.settings.mean or data.mean,
            std=self.settings.std or data.std,
            batch_size=batch_size,
            device=torch.device(self.settings.device),
            dtype=floating_dtype(self.model),
        )

    def train_and_judge(self, epoch: int) -> None:
        """One epoch of steps, the hook, the validation, and the copy of the state if it is the best."""
        start = time.perf_counter()
        torch.manual_seed(epoch_seed(self.settings.seed, epoch))  # for dropout and the like
        losses = self._train(epoch)
        train_seconds = time.perf_counter() - start
        self.hooks.after_epoch(self.model, epoch)
        self.model.eval()
        found = evaluate_batches(self.model, self.validation)
        if not math.isfinite(found.loss):
            raise WorkFailed(f"the validation loss after epoch {epoch + 1} is {found.loss}", hints=ADVICE)
        record = EpochRecord(
            epoch=epoch,
            lr=self._lr(epoch * self.train.steps()),
            train_loss=losses.mean(),
            loss=found.loss,
            accuracy=found.accuracy,
            seconds=time.perf_counter() - start,
            images_per_second=losses.images / train_seconds,
        )
        self.history.append(record)
        figures = {"loss": record.loss, "accuracy": record.accuracy}
        self.progress("epoch", epoch + 1, self.settings.epochs, figures)
        if self.hooks.may_be_best(epoch) and _better(record, self.best):
            self.best = record
            self.best_state = snapshot(self.model)

    def _train(self, epoch: int) -> LossLog:
        settings, steps = self.settings, self.train.steps()
        plan = plan_epoch(
            len(self.train),
            image_shape=self.image_shape,
            augment=settings.augment,
            seed=settings.seed,
            epoch=epoch,
        )
        losses = LossLog(epoch, look_every=1 if settings.device == "cpu" else _STEPS_BETWEEN_LOOKS)
        reported = time.perf_counter()
        self.model.train()
        for step, (images, labels) in enumerate(self.train.by_plan(plan)):
            self.optimiser.param_groups[0]["lr"] = self._lr(epoch * steps + step)
            logits = logits_of(self.model(images))
            loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            losses.add(loss.detach(), len(labels))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.hooks.after_step(self.model)
            if time.perf_counter() - reported > _SECONDS_BETWEEN_REPORTS:
                reported = time.perf_counter()
                self._report(epoch, step + 1, losses)
        losses.look()
        self._report(epoch, steps, losses)
        return losses

    def _lr(self, step: int) -> float:
        steps = self.train.steps()
        return learning_rate(
            self.settings.schedule,
            highest=self.settings.lr,
            step=step,
            steps=self.settings.epochs * steps,
            warmup_steps=self.settings.warmup_epochs * steps,
        )

    def _report(self, epoch: int, step: int, losses: LossLog) -> None:
        done = epoch * self.train.steps() + step
        total = self.settings.epochs * self.train.steps()
        figures = {"epoch": epoch + 1, "loss": losses.last()}
        if self.history:
            figures["accuracy"] = self.history[-1].accuracy
        self.progress("train", done, total, figures)

    def finish(self) -> FitResult:
        """Restore the best state; without any epoch that counted, the last one stays."""
        held = self.best or self.history[-1]
        if self.best is not None:
            restore(self.model, self.best_state)
        return FitResult(tuple(self.history), held.epoch, held.accuracy)


def _better(record: EpochRecord, best: EpochRecord | None) -> bool:
    return best is None or (record.accuracy, -record.loss) > (best.accuracy, -best.loss)
