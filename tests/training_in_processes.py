"""What each of several processes that a launcher started finds; the test reads it from files.

python -m torch.distributed.run --nproc-per-node 2 tests/training_in_processes.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.data import Split, TrainingData
from prunecli.errors import WrongUse
from prunecli.processes import current, leave, sharding_wanted
from prunecli.training import FitResult, FitSettings, Hooks, evaluate, fit, recalibrate_batch_norm
from prunecli.training.resuming import Keeper, open_run

CLASSES = 4
MEAN, STD = (0.4,) * 3, (0.25,) * 3
# Each process takes as many; one process alone takes all of a step.
BATCH = 8


class ConvLinear(nn.Module):
    """No batch norm: what processes see does not depend on how the images are spread over them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Linear(6, CLASSES)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(images).relu().mean((2, 3)))
        return logits


class ConvNormLinear(ConvLinear):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(6)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.conv(images)).relu().mean((2, 3)))
        return logits


def network(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return kind()


def data() -> TrainingData:
    """77 images to train: four steps of 16 and one of 13; 45 to validate."""
    stream = torch.Generator().manual_seed(5)
    labels = torch.randint(0, CLASSES, (122,), generator=stream)
    images = torch.randint(0, 200, (122, 3, 8, 8), generator=stream) + 15 * labels[:, None, None, None]
    whole = images.clamp(max=255).to(torch.uint8)
    train = Split(whole[:77], labels[:77], CLASSES)
    validation = Split(whole[77:], labels[77:], CLASSES)
    return TrainingData("random", train, validation, ("a", "b", "c", "d"), MEAN, STD)


def settings(**other: object) -> FitSettings:
    batch = BATCH * 2 // current().count
    given = {"epochs": 3, "lr": 0.1, "batch_size": batch, "augment": "cifar", "clip": 1.0, **other}
    return FitSettings(**given)  # type: ignore[arg-type]


def trained(kind: type[nn.Module], folder: Path | None = None, **other: object) -> dict[str, Any]:
    model = network(kind)
    keeper = None if folder is None else Keeper(folder=str(folder), every=7)
    result = fit(model, data(), settings=settings(**other), keeper=keeper)
    return {"history": history(result), "weights": digest(model)}


def resumed(folder: Path) -> dict[str, Any]:
    """The same as `trained`, from what it has kept in the middle of the second epoch."""
    model = network(ConvNormLinear)
    state, _ = open_run(str(folder), {})
    result = fit(model, data(), settings=settings(), keeper=Keeper(folder=str(folder), resumed=state))
    return {"history": history(result), "weights": digest(model)}


def frozen() -> dict[str, Any]:
    """A training that leaves its first layer as it is, and whether anything ran backward through that."""
    model, graphs = network(ConvNormLinear), []
    # What is looked at with fewer images is no step of the training.
    model.conv.register_forward_hook(
        lambda module, inputs, output: graphs.append(len(output) > 4 and output.requires_grad)
    )
    result = fit(model, data(), settings=settings(freeze=("conv", "norm"), augment="none"))
    same = torch.equal(model.conv.weight, network(ConvNormLinear).conv.weight)
    return {
        "history": history(result),
        "weights": digest(model),
        "backward": any(graphs),
        "same": same,
    }


def masked() -> dict[str, Any] | str:
    """A strategy that keeps a filter at zero while training, or why it cannot."""
    model = network(ConvLinear)
    try:
        result = fit(model, data(), settings=settings(epochs=1), hooks=FirstFilterSilent())
    except WrongUse as refused:
        return refused.message
    return {"history": history(result), "weights": digest(model), "first": model.conv.weight[0].tolist()}


class FirstFilterSilent(Hooks):
    def after_step(self, model: nn.Module, step: int) -> None:
        with torch.no_grad():
            model.get_parameter("conv.weight")[0] = 0


def history(result: FitResult) -> list[list[float]]:
    return [[each.train_loss, each.loss, each.accuracy] for each in result.history]


def digest(model: nn.Module) -> list[float]:
    """Every number of the network, so that processes can be compared."""
    return torch.cat([each.double().flatten() for each in model.state_dict().values()]).tolist()


def findings(folder: Path) -> dict[str, Any]:
    """Everything that is compared, by name."""
    kept = folder / f"kept-{current().count}"
    plain = network(ConvNormLinear)
    test = data().validation
    found: dict[str, Any] = {
        "plain": trained(ConvLinear),
        "accumulated": trained(ConvLinear, accumulate=2, ema_decay=0.9),
        "normalised": trained(ConvNormLinear, folder=kept),
        "resumed": resumed(kept),
    }
    found["frozen"] = frozen()
    found["masked"] = masked()
    evaluation = evaluate(plain, test, mean=MEAN, std=STD, batch_size=4)
    found["evaluated"] = [evaluation.accuracy, evaluation.loss, evaluation.images]
    recalibrate_batch_norm(plain, data().train, mean=MEAN, std=STD, batches=6, batch_size=10)
    found["recalibrated"] = digest(plain)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    name = f"{current().count}-{current().index}{'-sharded' if sharding_wanted() else ''}.json"
    (place / name).write_text(json.dumps(findings(place)))
    leave()
