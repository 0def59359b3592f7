"""Accuracy and loss on the test part of a data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prunecli.progress import Progress, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.training.evaluation import Evaluation
from prunecli.training.evaluation import evaluate as evaluate_split
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import Opening, open_checkpoint


@dataclass(frozen=True)
class EvaluateResult(ShownInNotebooks, command="evaluate"):
    """Figures on the test part."""

    evaluation: Evaluation
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `evaluate`."""
        return asdict(self.evaluation)


def evaluate(
    opening: Opening,
    *,
    data: str | None = None,
    batch_size: int = 256,
    seed: int = 0,
    skip_bad_images: bool = False,
    progress: Progress = silent,
) -> EvaluateResult:
    """Evaluate a checkpoint; raises InputRefused when data and network do not fit."""
    opened = open_checkpoint(opening, progress=progress)
    images = open_images(opened, data, seed=seed, skip_bad_images=skip_bad_images, progress=progress)
    found = evaluate_split(
        opened.model,
        images.data.test,
        mean=images.mean,
        std=images.std,
        batch_size=batch_size,
        device=opening.device,
        progress=progress,
    )
    return EvaluateResult(found, (*opened.notes, *images.notes))
