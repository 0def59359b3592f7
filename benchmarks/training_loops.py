"""The loops that `training.py` sets `fit` against, and what all of them start from."""

from __future__ import annotations

import ctypes
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.data import Split, normalise, open_data
from prunecli.torchvision_import import load_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOMENTUM, WEIGHT_DECAY, EMA_DECAY = 0.9, 5e-4, 0.999


@dataclass(frozen=True)
class Trial:
    """What every loop is given."""

    split: Split
    batch: int
    device: str
    lr: float = 0.01


@dataclass(frozen=True)
class Speed:
    """Images a second of the wall clock, and of the process's CPU time, less disturbed by others."""

    wall: float
    cpu: float


class Clock:
    """Runs from its making, both by the wall and by CPU time; waits for an accelerator to be done."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._wait()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def speed(self, images: int) -> Speed:
        """What it comes to for `images` since then."""
        self._wait()
        return Speed(images / (time.perf_counter() - self._wall), images / (time.process_time() - self._cpu))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def keep_freed_memory() -> None:
    """Have the C library give no memory back to the system; without glibc, leave it as it is."""
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # the names of malloc.h
    library.mallopt(trim_threshold, 2**31 - 1)
    library.mallopt(mmap_max, 0)


def fresh_model() -> nn.Module:
    """A ResNet-20 for CIFAR-10 with the same weights at every call."""
    torch.manual_seed(0)
    return build(resolve("cifar/resnet20"))


def images_for(data: str | None, count: int) -> Split:
    """`count` images of 3x32x32: random, or the first of a folder's training part after a shuffle by seed."""
    stream = torch.Generator().manual_seed(0)
    if data is None:
        images = torch.randint(0, 256, (count, 3, 32, 32), generator=stream, dtype=torch.uint8)
        return Split(images, torch.randint(0, 10, (count,), generator=stream), 10)
    train = open_data(data, image_shape=(3, 32, 32)).train
    if len(train) < count:
        raise SystemExit(f"{data} has {len(train)} training images, --batch times --steps is {count}")
    chosen = torch.randperm(len(train), generator=stream)[:count]
    return Split(train.images[chosen], train.labels[chosen], train.classes)


def first_of(split: Split, count: int) -> Split:
    """The first images of a split."""
    return Split(split.images[:count], split.labels[:count], split.classes)


def ready_images(trial: Trial) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) as normalised floats and labels (N,), on the device."""
    images = normalise(trial.split.images[:].to(trial.device), MEAN, STD)
    return images, trial.split.labels.to(trial.device)


def shuffled(images: Tensor, labels: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of batches in a random order, each a look-up by index."""
    for chosen in torch.split(torch.randperm(len(labels)).to(labels.device), batch):
        yield images[chosen], labels[chosen]


def sgd(model: nn.Module, trial: Trial, *, fused: bool | None = None) -> torch.optim.Optimizer:
    """The optimiser of `fit`, over all parameters."""
    return torch.optim.SGD(
        model.parameters(),
        lr=trial.lr,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
        fused=fused,
    )


def bare_last(trial: Trial) -> Speed:
    """The shortest loop with what `fit` does by itself: channels last, a fused optimiser."""
    return bare(trial, layout=torch.channels_last, fused=True)


def bare(
    trial: Trial,
    *,
    ema: bool = False,
    layout: torch.memory_format = torch.contiguous_format,
    fused: bool | None = None,
) -> Speed:
    """The shortest loop that trains."""
    model = fresh_model().to(trial.device, memory_format=layout).train()
    images, labels = ready_images(trial)
    optimiser = sgd(model, trial, fused=fused)
    trained = [each for each in model.state_dict().values() if each.is_floating_point()]
    averaged = [each.clone() for each in trained]
    clock = Clock(trial.device)
    for inputs, targets in shuffled(images, labels, trial.batch):
        loss = functional.cross_entropy(model(inputs), targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if ema:
            torch._foreach_lerp_(averaged, trained, 1 - EMA_DECAY)
    return clock.speed(len(labels))


def by_timm(trial: Trial, *, ema: bool = False) -> Speed:
    """One epoch as timm's training script has it: task, meters, optimiser and scheduler of timm."""
    load_torchvision()
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.task import ClassificationTask
    from timm.utils import AverageMeter

    model = fresh_model().to(trial.device)
    images, labels = ready_images(trial)
    task = ClassificationTask(model, device=torch.device(trial.device), verbose=False)
    optimiser = create_optimizer_v2(
        model,
        opt="sgd",
        lr=trial.lr,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        filter_bias_and_bn=False,
    )
    steps = -(-len(labels) // trial.batch)
    scheduler, _ = create_scheduler_v2(
        optimiser, sched="constant", num_epochs=1, step_on_epochs=False, updates_per_epoch=steps
    )
    if ema:
        task.setup_ema(decay=EMA_DECAY)
    losses, data_times, step_times = AverageMeter(), AverageMeter(), AverageMeter()
    task.train()
    optimiser.zero_grad()
    clock = Clock(trial.device)
    step_start = time.time()
    for update, (inputs, targets) in enumerate(shuffled(images, labels, trial.batch), 1):
        data_times.update(time.time() - step_start)
        loss = task(inputs, targets)["loss"]
        loss.backward()
        optimiser.step()
        losses.update(loss.item(), len(targets))
        optimiser.zero_grad()
        if ema:
            task.update_ema(step=update)
        step_times.update(time.time() - step_start)
        scheduler.step_update(num_updates=update, metric=losses.avg)
        step_start = time.time()
    return clock.speed(len(labels))


class InOneGrasp(torch.utils.data.Dataset[Any]):
    """Images and labels in memory that give a whole batch for a list of indices."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"images": self._images[index], "labels": self._labels[index]}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        chosen = torch.tensor(indices, device=self._labels.device)
        return {"images": self._images[chosen], "labels": self._labels[chosen]}


class WithLoss(nn.Module):
    """A network whose forward gives the loss too, as Trainer wants it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Images (B, C, H, W) and labels (B,) to the mean loss and the logits (B, classes)."""
        logits = self.network(images)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def by_trainer(trial: Trial) -> Speed:
    """One epoch of `transformers.Trainer`, timed from its epoch's beginning to its end."""
    load_torchvision()
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    images, labels = ready_images(trial)
    taken: list[Speed] = []

    class Timing(TrainerCallback):  # type: ignore[misc]
        clock: Clock

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.clock = Clock(trial.device)

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            taken.append(self.clock.speed(len(labels)))

    model = WithLoss(fresh_model()).to(trial.device)
    optimiser = sgd(model, trial)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=trial.batch,
            num_train_epochs=1,
            max_grad_norm=0.0,
            logging_strategy="no",
            logging_nan_inf_filter=False,
            eval_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_num_workers=0,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            use_cpu=trial.device == "cpu",
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=InOneGrasp(images, labels),
            data_collator=_as_it_is,
            optimizers=(optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)),
            callbacks=[Timing()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return taken[0]


def _as_it_is(batch: Any) -> Any:
    return batch
