"""Images a second of `fit` against a bare loop, timm's step and Hugging Face's Trainer, in one run.

    python benchmarks/training.py                            random images of CIFAR-10's shape
    python benchmarks/training.py --data FOLDER              the first images of an image folder
    python benchmarks/training.py --peers bare,timm          some of the peers
    python benchmarks/training.py --device cuda --batch 512 --steps 100 --format md

All train a CIFAR ResNet-20 from the same weights, on the same images, for the same steps of SGD with Nesterov
momentum at a constant rate. Each round runs every loop once, in another order and each after two steps that
do not count; ratios are taken within a round, so that a busy machine slows both sides. Printed are median,
lowest and highest ratio by the wall clock, and the median by CPU time: one JSON line a pair, or a table.
Freed memory stays with the process (glibc's `mallopt`): otherwise the same loop takes anything from none to
hundreds of thousands of page faults, up to a tenth of its time, by the state in which it finds the heap.

What the peers are given, and `fit` is not: images that are normalised floats in memory beforehand, batches
that are one look-up by index, no augmentation in any row, and a clock that runs from the first batch to the
last step, so that making the model, the optimiser and the loaders is not counted. `fit` normalises every
batch, looks at every loss and keeps its record; of its CPU time the whole call is counted, with the checks
before the first step, the validation on two images and the copies of the best state.

`bare`      the shortest loop that trains; it checks nothing, it records nothing.
`bare-last` the same by somebody who knows this processor: weights with channels last, a fused optimiser. That
            is what `fit` chooses by itself, and the peers would have to be told.
`timm`      the step of timm's training script by its parts: `ClassificationTask` with its loss, the factories
            of optimiser and scheduler, `AverageMeter`. In place of its loader, which collates image by image,
            the look-up by index; one parameter group; no clipping, no mixed precision, no log lines.
`trainer`   `transformers.Trainer` with the optimiser handed in: no worker processes, pinning, clipping,
            logging, saving or evaluation, no filter of losses that are not finite, no callback but its own
            flow and the clock. Its data set answers a list of indices at once (`__getitems__`) and the
            collation is the identity, so that its DataLoader does no work image by image.

The row with an average of the weights (EMA) is set against bare's (`_foreach_lerp_`) and timm's
(`ModelEmaV3`) loop with one, and against Trainer's without, which has none.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.architectures import build, resolve
from prunecli.data import Split, TrainingData, normalise, open_data
from prunecli.torchvision_import import load_torchvision
from prunecli.training import FitSettings, fit

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


def fitted(trial: Trial, **choices: Any) -> Speed:
    """One epoch of `fit`: the wall clock from its own record, the CPU time of the whole call."""
    classes = tuple(str(index) for index in range(10))
    data = TrainingData("benchmark", trial.split, first_of(trial.split, 2), classes, MEAN, STD)
    settings = FitSettings(
        epochs=1,
        lr=trial.lr,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        batch_size=trial.batch,
        schedule="constant",
        device=trial.device,
        **choices,
    )
    model = fresh_model()
    cpu = time.process_time()
    record = fit(model, data, settings=settings).history[0]
    return Speed(record.images_per_second, len(trial.split) / (time.process_time() - cpu))


OURS: dict[str, dict[str, Any]] = {
    "fit": {},
    "fit, augment cifar": {"augment": "cifar"},
    "fit, EMA": {"ema_decay": EMA_DECAY},
}
PEERS: dict[str, Callable[..., Speed]] = {
    "bare": bare,
    "bare-last": bare_last,
    "timm": by_timm,
    "trainer": by_trainer,
}
AVERAGING = ("bare", "timm")
"""The peers that have an average of the weights to set against ours."""


@dataclass(frozen=True)
class Row:
    """One of ours against one peer: medians over the rounds, ratios to the peer's loop of the same round."""

    loop: str
    peer: str
    images_per_second: float
    peer_images_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    cpu_ratio: float


def pairs_with(peers: list[str]) -> list[tuple[str, str]]:
    """Which of our loops is set against which loop of a peer: like with like where the peer has it."""
    return [
        (ours, f"{peer}, EMA" if "ema_decay" in choices and peer in AVERAGING else peer)
        for ours, choices in OURS.items()
        for peer in peers
    ]


def run_loop(name: str, trial: Trial) -> Speed:
    """Run a loop by the name that `pairs_with` gives it."""
    # What the loop before has left behind, garbage and the state of the allocator, is made alike for all.
    gc.collect()
    bare(replace(trial, split=first_of(trial.split, 2 * trial.batch)))
    if name in OURS:
        return fitted(trial, **OURS[name])
    peer, _, averaging = name.partition(", ")
    return PEERS[peer](trial, ema=True) if averaging else PEERS[peer](trial)


def measure(trial: Trial, *, peers: list[str], rounds: int) -> list[Row]:
    """Run every loop in every round, after one round to warm up."""
    pairs = pairs_with(peers)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    speeds: dict[str, list[Speed]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        # Not a rotation: each loop would always follow the same one and inherit what that leaves behind.
        for name in random.Random(turn).sample(names, len(names)):
            speed = run_loop(name, trial)
            if turn >= 0:
                speeds[name].append(speed)
    return [_row(ours, peer, speeds[ours], speeds[peer]) for ours, peer in pairs]


def _row(loop: str, peer: str, ours: list[Speed], theirs: list[Speed]) -> Row:
    ratios = [our.wall / its.wall for our, its in zip(ours, theirs, strict=True)]
    by_cpu = [our.cpu / its.cpu for our, its in zip(ours, theirs, strict=True)]
    return Row(
        loop=loop,
        peer=peer,
        images_per_second=round(statistics.median(speed.wall for speed in ours), 1),
        peer_images_per_second=round(statistics.median(speed.wall for speed in theirs), 1),
        ratio=round(statistics.median(ratios), 4),
        lowest_ratio=round(min(ratios), 4),
        highest_ratio=round(max(ratios), 4),
        cpu_ratio=round(statistics.median(by_cpu), 4),
    )


def as_table(rows: list[Row], context: dict[str, object]) -> str:
    """The rows as Markdown under a line with what was run where."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in context.items()),
        "",
        "| loop | peer | images/s | peer's images/s | ratio | lowest | highest | ratio by CPU time |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(map(str, astuple(row))) + " |" for row in rows]
    return "\n".join(lines)


def versions(peers: list[str]) -> dict[str, object]:
    """The releases of what is run; a peer that is not installed ends the run here."""
    packages = {"timm": ["timm"], "trainer": ["transformers", "accelerate"]}
    found: dict[str, object] = {"torch": torch.__version__}
    for package in (name for peer in peers for name in packages.get(peer, [])):
        if find_spec(package) is None:
            raise SystemExit(f"{package} is not installed; choose other --peers")
        found[package] = version(package)
    return found


def main() -> None:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="an image folder; random images otherwise")
    parser.add_argument("--peers", default=",".join(PEERS), help="left out: all")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="steps a loop and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--format", choices=["json", "md"], default="json")
    chosen = parser.parse_args()
    peers = chosen.peers.split(",")
    unknown = [peer for peer in peers if peer not in PEERS]
    if unknown:
        parser.error(f"unknown peers {', '.join(unknown)}; valid: {', '.join(PEERS)}")
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    context: dict[str, object] = {
        "model": "cifar/resnet20",
        "images": "random" if chosen.data is None else "folder",
        "batch": chosen.batch,
        "steps": chosen.steps,
        "rounds": chosen.rounds,
        "threads": chosen.threads,
        "device": chosen.device,
        **versions(peers),
        "machine": platform.machine(),
    }
    split = images_for(chosen.data, chosen.batch * chosen.steps)
    rows = measure(Trial(split, chosen.batch, chosen.device), peers=peers, rounds=chosen.rounds)
    if chosen.format == "md":
        print(as_table(rows, context))
        return
    for row in rows:
        print(json.dumps({**context, **asdict(row)}))


if __name__ == "__main__":
    main()
