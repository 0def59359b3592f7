"""What `fit` is asked for and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

from prunecli.errors import WrongUse, unknown_name
from prunecli.training.augmentation import RECIPES
from prunecli.training.schedule import SCHEDULES


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How to train: SGD with momentum, all choices with their defaults.

    `lr` is the highest learning rate; `schedule` ("cosine", "constant") is how it goes on after the
    `warmup_epochs`, in which it rises linearly. `augment` is "none", "light" (small shifts) or "cifar"
    (shifts and mirror images). `mean` and `std` are the model's normalisation, None for the data set's
    own. Raises WrongUse for a value out of range.
    """

    epochs: int
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    batch_size: int = 128
    schedule: str = "cosine"
    warmup_epochs: int = 0
    augment: str = "none"
    label_smoothing: float = 0.0
    seed: int = 0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        ranges = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("lr", 0 < self.lr < float("inf"), "above 0"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1"),
            ("weight_decay", 0 <= self.weight_decay < float("inf"), "at least 0"),
            ("batch_size", self.batch_size >= 2, "at least 2: batch norm needs more than one image"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, "from 0 to below the number of epochs"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to below 1"),
        )
        for name, fits, valid in ranges:
            if not fits:
                raise WrongUse(f"{name} cannot be {getattr(self, name)}", hints=[f"valid: {valid}"])
        if self.schedule not in SCHEDULES:
            raise unknown_name("learning-rate schedule", self.schedule, SCHEDULES)
        if self.augment not in RECIPES:
            raise unknown_name("augmentation", self.augment, RECIPES)


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
    """The history, and which epoch (from 0) the model now holds with what validation accuracy (%)."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_accuracy: float
