"""What `fit` is asked for and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

from prunecli.errors import check_ranges, unknown_name
from prunecli.training.augmentation import check_augmentation
from prunecli.training.optimisers import OPTIMISERS
from prunecli.training.precision import check_precision
from prunecli.training.schedule import SCHEDULES, check_schedule


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How to train; every choice has a default.

    A step takes `accumulate` batches of `batch_size` images in each process, and its gradient is cut to the
    norm `clip` where that is given. `lr` is the highest learning rate; `schedule` is how it goes on after
    the `warmup_epochs`, in which it rises linearly. `precision` is what the forward pass computes in.
    `ema_decay` is that of an average of the weights that is judged and kept in their place. Training ends
    early when the validation accuracy has not risen by more than `min_delta` points for `patience` epochs.
    `augment` is a recipe of `RECIPES`; `mixup` and `cutmix` are the alphas of theirs, 0 for none. `freeze`
    are globs of module names that stay as they are. With a teacher, `distill` is the share of its soft
    labels in the loss at `temperature`, `label_weight` what the loss from the labels counts beside them
    (None: 1 − `distill`), and `similarity` the weight of the similarity-preserving loss.
    `mean` and `std` are the model's normalisation, None for the data set's own.

    Raises WrongUse for a value out of range.
    """

    epochs: int = 10
    optimiser: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    batch_size: int = 128
    accumulate: int = 1
    clip: float | None = None
    schedule: str = "cosine"
    warmup_epochs: int = 0
    precision: str = "float32"
    ema_decay: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    augment: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    freeze: tuple[str, ...] = ()
    distill: float = 0.5
    temperature: float = 4.0
    label_weight: float | None = None
    similarity: float = 0.0
    seed: int = 0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        endless = float("inf")
        ranges = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("lr", 0 < self.lr < endless, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1"),
            ("weight_decay", 0 <= self.weight_decay < endless, "at least 0"),
            ("batch_size", self.batch_size >= 2, "at least 2: batch norm needs more than one image"),
            ("accumulate", self.accumulate >= 1, "at least 1"),
            ("clip", self.clip is None or 0 < self.clip < endless, "above 0"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, "from 0 to below the number of epochs"),
            ("ema_decay", self.ema_decay is None or 0 < self.ema_decay < 1, "above 0 and below 1"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
            ("min_delta", 0 <= self.min_delta < endless, "at least 0"),
            ("mixup", 0 <= self.mixup < endless, "at least 0"),
            ("cutmix", 0 <= self.cutmix < endless, "at least 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to below 1"),
            ("distill", 0 <= self.distill <= 1, "from 0 to 1"),
            ("temperature", 0 < self.temperature < endless, "above 0"),
            ("label_weight", self.label_weight is None or 0 <= self.label_weight < endless, "at least 0"),
            ("similarity", 0 <= self.similarity < endless, "at least 0"),
        )
        check_ranges(self, ranges)
        for kind, name, known in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("learning-rate schedule", self.schedule, SCHEDULES),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        check_schedule(self.schedule, warmup_epochs=self.warmup_epochs)
        check_precision(self.precision, device=self.device)
        check_augmentation(self.augment)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: `epoch` from 0, `lr` at its first step, and what it came to.

    `train_loss` is the mean over the training images as they were seen (augmented, smoothed labels);
    `loss` and `accuracy` (%) are of the validation part. `seconds` is the whole epoch,
    `images_per_second` the training alone, without the validation.
    """

    epoch: int
    lr: float
    train_loss: float
    loss: float
    accuracy: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class FitResult:
    """The history, and which epoch (from 0) the model now holds with what validation accuracy (%).

    `stopped_early` says that the patience ended before the epochs did.
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_accuracy: float
    stopped_early: bool = False
