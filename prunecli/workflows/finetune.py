"""Train a checkpoint, pruned or not, and keep its best epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prunecli.progress import Progress, silent
from prunecli.training.evaluation import Evaluation, evaluate
from prunecli.training.fitting import fit
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.saving import destination, save


@dataclass(frozen=True)
class FinetuneResult:
    """The course of the training, and the test part before and after."""

    epochs: int
    fit: FitResult
    before: Evaluation
    after: Evaluation
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `finetune`; epochs count from 1, `best` and `history` are of the validation part."""
        return {
            "epochs": self.epochs,
            "best": {"epoch": self.fit.best_epoch + 1, "accuracy": self.fit.best_accuracy},
            "before": _figures(self.before),
            "after": _figures(self.after),
            "history": history_document(self.fit.history),
            "output": self.output,
        }


def finetune(
    opening: Opening,
    *,
    data: str | None = None,
    epochs: int = 10,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    batch_size: int = 128,
    schedule: str = "cosine",
    augment: str = "none",
    seed: int = 0,
    validation_share: float = 0.1,
    output: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> FinetuneResult:
    """Train on the training part, choose the epoch by the validation part, read the test part at the end.

    Raises WrongUse for an output that cannot be, InputRefused for data that does not fit, WorkFailed when
    the loss is not finite.
    """
    with destination(opening, output, force=force):
        opened = open_checkpoint(opening, progress=progress)
        images = open_images(opened, data, seed=seed, validation_share=validation_share, progress=progress)
        settings = FitSettings(
            epochs=epochs,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            schedule=schedule,
            augment=augment,
            seed=seed,
            mean=images.mean,
            std=images.std,
            device=opening.device,
        )
        untrained = copy.deepcopy(opened.model)
        result = fit(opened.model, images.data.for_training(), settings=settings, progress=progress)
        before, after = (
            evaluate(model, images.data.test, mean=images.mean, std=images.std, device=opening.device)
            for model in (untrained, opened.model)
        )
        written = save(
            opened,
            opened.model,
            plan=opened.plan,
            step={
                "command": "finetune",
                "data": images.data.name,
                **_stored(settings),
                "accuracy": after.accuracy,
            },
            output=output,
            force=force,
            mean=images.mean,
            std=images.std,
        )
        return FinetuneResult(epochs, result, before, after, written, (*opened.notes, *images.notes))


def history_document(history: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    """Epoch records as JSON values, epochs counted from 1."""
    return [{**asdict(record), "epoch": record.epoch + 1} for record in history]


def _figures(found: Evaluation) -> dict[str, float]:
    return {"accuracy": found.accuracy, "loss": found.loss}


def _stored(settings: FitSettings) -> dict[str, Any]:
    left_out = {"mean", "std", "device"}
    return {name: value for name, value in asdict(settings).items() if name not in left_out}
