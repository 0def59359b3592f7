"""The training loop: the training part teaches, the validation part chooses, the best state is kept."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, closing, nullcontext

import torch
from torch import Tensor, nn

from prunecli.data import Split, TrainingData
from prunecli.errors import Interrupted, PrunecliError, WorkFailed, WrongUse
from prunecli.interruption import finishing_steps, requested
from prunecli.processes import Processes, current, sharding_wanted
from prunecli.progress import Progress, silent
from prunecli.training.augmentation import EpochPlan, place_seed, plan_epoch
from prunecli.training.batches import Batches, Mixing, shared_batches
from prunecli.training.course import Course
from prunecli.training.device import memory_in_words, pick_device
from prunecli.training.evaluation import Evaluation, evaluate_batches
from prunecli.training.forward import check_fit
from prunecli.training.freezing import gradients_kept
from prunecli.training.hooks import Hooks
from prunecli.training.layouts import lay_out, layout_kept
from prunecli.training.logs import Logs
from prunecli.training.losses import ADVICE
from prunecli.training.replicas import average_batch_norms
from prunecli.training.resuming import Keeper
from prunecli.training.schedule import learning_rate
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.training.states import modes_kept, restore
from prunecli.training.stepping import Stepper
from prunecli.training.telling import Telling

# Reading the loss makes an accelerator wait for the CPU, so there it is looked at only now and then.
_STEPS_BETWEEN_LOOKS = 50


def fit(
    model: nn.Module,
    data: TrainingData,
    *,
    settings: FitSettings,
    teacher: nn.Module | None = None,
    keeper: Keeper | None = None,
    logs: Logs | None = None,
    progress: Progress = silent,
    hooks: Hooks | None = None,
) -> FitResult:
    """Train `model` in place; it ends in the state with the best validation accuracy (ties: lower loss).

    `data` comes from `DataSet.for_training()`; a whole data set is refused with a TypeError, because its
    test part has no business here. Everything random about a step comes from (seed, epoch, step) alone: on
    the CPU, with the same number of threads, the same call gives the same weights, and so does a call that
    goes on from a state of the `keeper`. Under a launcher every process calls this; the weights are the
    same in all of them. The model is moved to the settings' device and left there, its training modes and
    what of it learns are put back.

    Raises InputRefused for images or classes that do not fit the model, WorkFailed for an absent device,
    too little memory, or a loss that is not finite (naming epoch and step), Interrupted when the command
    line was asked to stop. Whatever ends it early, the model holds the best state so far, or its first if
    no epoch counted yet; where the run stood is with the keeper.
    """
    if not isinstance(data, TrainingData):
        raise TypeError("fit() is given DataSet.for_training(), which has no test part")
    processes = current()
    place = processes.place(pick_device(settings.device))
    with (
        memory_in_words(settings.batch_size),
        modes_kept(model),
        layout_kept(model),
        gradients_kept(model),
        _own_random_numbers(place),
        finishing_steps(),
    ):
        run = _Run(
            model.to(place),
            data,
            settings=settings,
            teacher=None if teacher is None else teacher.to(place),
            processes=processes,
            device=place,
            hooks=hooks or Hooks(),
            telling=Telling(progress, logs or Logs()),
            keeper=keeper,
        )
        try:
            run.go()
        except BaseException:
            restore(run.network, run.course.best_state)
            raise
        return run.course.finish(model)


class _Run:
    """One call of `fit`: what it holds from step to step."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        *,
        settings: FitSettings,
        teacher: nn.Module | None,
        processes: Processes,
        device: torch.device,
        hooks: Hooks,
        telling: Telling,
        keeper: Keeper | None,
    ) -> None:
        self.settings = settings
        self.processes = processes
        self.device = device
        self.hooks = hooks
        self.telling = telling
        self.keeper = keeper
        self.image_shape = data.train.image_shape
        self.train = self._batches(data.train, data, model, size=settings.batch_size)
        self.validation = self._batches(data.validation, data, model, size=max(256, settings.batch_size))
        model.eval()
        check_fit(model, self.train, classes=len(data.classes))
        if not sharding_wanted():  # shards must lie plainly
            lay_out(model, self.train.first(2)[0])
        self.stepper = Stepper(
            model,
            self.train,
            settings=settings,
            processes=processes,
            device=device,
            teacher=teacher,
            hooks=hooks,
        )
        if self.stepper.replica.sharded and type(hooks) is not Hooks:
            raise WrongUse(
                "filters cannot be masked while the weights are spread over the processes",
                hints=["start this strategy without FSDP: torchrun … -m prunecli prune …"],
            )
        self.network = self.stepper.replica.network
        self.mixing = Mixing(settings.mixup, settings.cutmix, classes=len(data.classes))
        look_every = 1 if device.type == "cpu" else _STEPS_BETWEEN_LOOKS
        self.course = Course(self.stepper, settings, processes=processes, look_every=look_every)

    def _batches(self, split: Split, data: TrainingData, model: nn.Module, *, size: int) -> Batches:
        return shared_batches(
            model,
            split,
            mean=self.settings.mean or data.mean,
            std=self.settings.std or data.std,
            batch_size=size,
            device=self.device,
        )

    def go(self) -> None:
        """Train and judge epoch after epoch, until they are done or the patience is at its end."""
        resumed = None if self.keeper is None else self.keeper.resumed
        if resumed is None:
            self.stepper.begin()
        else:
            self.course.resume(resumed, self.device)
            self.hooks.restore(self.network, resumed.hooks)
        while not self.course.over:
            self._train()
            self._judge()

    def _train(self) -> None:
        """The steps of this epoch that are still to do."""
        course, steps = self.course, self.stepper.steps
        begun = time.perf_counter() - course.seconds
        plan = self._plan()
        batches = self.train.by_plan(
            plan,
            start=course.step * self.settings.accumulate,
            mixing=self.mixing,
            before=self._seed,
        )
        self.stepper.begin_epoch(plan)
        with closing(batches):  # whatever ends the epoch early, nothing is read ahead any more
            while course.step < steps:
                loss, images = self.stepper.losses_of(batches, course.step)
                self._look_at(loss, images)
                lr = self._lr(self.stepper.done)
                self.stepper.change(lr)
                course.step += 1
                course.seconds = time.perf_counter() - begun
                if self.telling.due() or course.step == steps:
                    self._report(lr)
                self._keep_if_due()
        course.losses.look()

    def _plan(self) -> EpochPlan:
        return plan_epoch(
            len(self.train),
            image_shape=self.image_shape,
            augment=self.settings.augment,
            seed=self.settings.seed,
            epoch=self.course.epoch,
        )

    def _seed(self, batch: int) -> None:
        """What is random about a batch and not in the plan (dropout, mixing) is this batch's alone."""
        torch.manual_seed(place_seed(self.settings.seed, self.course.epoch, batch, self.processes.index))

    def _look_at(self, loss: Tensor, images: int) -> None:
        try:
            self.course.losses.add(loss, images)
        except WorkFailed as failure:
            self.course.losses.drop_last()
            self.stepper.forget_step()
            raise self._with_state_kept(failure) from None

    def _judge(self) -> None:
        """The validation after an epoch, and a copy of the state if it is the best."""
        course, start = self.course, time.perf_counter()
        epoch = course.epoch
        average_batch_norms(self.network, self.processes)
        self.hooks.after_epoch(self.network, epoch)
        average = self.stepper.average
        with nullcontext() if average is None else average.swapped(self.network):
            found = self._validated()
            if not math.isfinite(found.loss):
                failure = WorkFailed(
                    f"the validation loss after epoch {epoch + 1} is {found.loss}", hints=ADVICE
                )
                raise self._with_state_kept(failure)
            record = EpochRecord(
                epoch=epoch,
                lr=self._lr(epoch * self.stepper.steps),
                train_loss=course.losses.mean(),
                loss=found.loss,
                accuracy=found.accuracy,
                seconds=course.seconds + time.perf_counter() - start,
                images_per_second=course.losses.images / course.seconds,
            )
            course.take(record, counts=self.hooks.may_be_best(epoch))
        self.telling.epoch(record, self.settings.epochs)
        course.go_on()
        self._keep_if_due(epoch_ended=True)

    def _validated(self) -> Evaluation:
        self.network.eval()
        found = evaluate_batches(
            self.network,
            self.validation,
            processes=self.processes,
            together=self.stepper.replica.sharded,
        )
        self.stepper.replica.settle()
        return found

    def _lr(self, step: int) -> float:
        steps = self.stepper.steps
        return learning_rate(
            self.settings.schedule,
            highest=self.settings.lr,
            step=step,
            steps=self.settings.epochs * steps,
            warmup_steps=self.settings.warmup_epochs * steps,
        )

    def _report(self, lr: float) -> None:
        course, done = self.course, self.stepper.done
        figures = {
            "epoch": course.epoch + 1,
            "step": done,
            "lr": lr,
            "loss": course.losses.last(),
            "images_per_second": course.losses.images / course.seconds,
        }
        if course.history:
            figures["accuracy"] = course.history[-1].accuracy
        self.telling.step(done, self.settings.epochs * self.stepper.steps, figures)

    def _keep_if_due(self, *, epoch_ended: bool = False) -> None:
        """Write the state every so many steps, and when the command was asked to stop: then end."""
        done = self.stepper.done
        every = None if self.keeper is None else self.keeper.every
        if every is not None and done % every == 0 and not epoch_ended:
            self._keep()
        # Asking all processes makes an accelerator wait, so there it is done seldom.
        if self.device.type != "cpu" and done % _STEPS_BETWEEN_LOOKS and not epoch_ended:
            return
        if not self.processes.any(requested() is not None):
            return
        course = self.course
        where = f"interrupted in epoch {course.epoch + 1}, after step {course.step} of {self.stepper.steps}"
        if self.keeper is None:
            raise Interrupted(where, hints=["nothing was kept"], signal=requested() or 2)
        self._keep()
        raise Interrupted(where, signal=requested() or 2, kept=self.keeper.folder)

    def _with_state_kept(self, failure: WorkFailed) -> PrunecliError:
        """The failure, with where the last good state is: on the CPU the one before the step that failed."""
        if self.keeper is None:
            return failure
        if self.device.type == "cpu":
            self._keep()
        if not self.keeper.path.exists():
            return failure
        hint = f"the last good state is in {self.keeper.folder}: --resume it with another --lr"
        return WorkFailed(failure.message, hints=[hint, *failure.hints])

    def _keep(self) -> None:
        """Write where the run stands; a state from which nobody can go on never replaces an earlier one."""
        self.course.losses.look()
        state = self.course.state(run=self.telling.run, hooks=self.hooks.state())
        if self.processes.main and self.keeper is not None and state.finite:
            self.keeper.save(state)


def _own_random_numbers(place: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[place] if place.type == "cuda" else [])
