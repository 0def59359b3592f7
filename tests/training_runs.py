"""A small training that keeps its state, run in a process of its own so that it can be killed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunecli.data import Split, TrainingData
from prunecli.training import FitSettings, fit
from prunecli.training.resuming import FILE, Keeper, open_run

CLASSES = 4
ORIGIN = {"what": "a test"}


class ConvNormDropout(nn.Module):
    """Everything that holds state or draws random numbers: batch norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.conv(images)).relu().mean((2, 3))
        logits: Tensor = self.head(self.drop(features))
        return logits


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ConvNormDropout()


def data() -> TrainingData:
    stream = torch.Generator().manual_seed(5)
    labels = torch.arange(96) % CLASSES
    images = torch.randint(0, 200, (96, 3, 8, 8), generator=stream) + 15 * labels[:, None, None, None]
    whole = images.clamp(max=255).to(torch.uint8)
    train = Split(whole[:72], labels[:72], CLASSES)
    validation = Split(whole[72:], labels[72:], CLASSES)
    return TrainingData("random", train, validation, ("a", "b", "c", "d"), (0.4,) * 3, (0.25,) * 3)


def settings(**other: object) -> FitSettings:
    given = {
        "epochs": 3,
        "lr": 0.05,
        "batch_size": 8,
        "ema_decay": 0.9,
        "augment": "cifar+randaugment",
        "mixup": 0.4,
        "accumulate": 2,
        "clip": 1.0,
        **other,
    }
    return FitSettings(**given)  # type: ignore[arg-type]


def train_on(folder: str, result: str, *, every: int = 1, epochs: int = 12) -> None:
    """Begin, or go on where the last process was killed; the final state goes to the file `result`."""
    torch.set_num_threads(1)
    keeper = Keeper(folder=folder, every=every, origin=ORIGIN)
    if keeper.path.exists():
        state, _ = open_run(folder, ORIGIN)
        keeper = Keeper(folder=folder, every=every, origin=ORIGIN, resumed=state)
    network = model()
    done = fit(network, data(), settings=settings(epochs=epochs), keeper=keeper)
    history = [(record.train_loss, record.loss, record.accuracy) for record in done.history]
    torch.save({"state": network.state_dict(), "history": history}, result)


__all__ = ["CLASSES", "FILE", "ORIGIN", "data", "model", "settings", "train_on"]
