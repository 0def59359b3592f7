"""Training in between: evaluate, fit with the best state kept, recalibrate batch norms.

`fit` is given `DataSet.for_training()`, which has no test part, so nothing it chooses can come from there.
"""

from __future__ import annotations

from prunecli.training.evaluation import Evaluation, evaluate
from prunecli.training.fitting import fit
from prunecli.training.hooks import Hooks
from prunecli.training.recalibration import recalibrate_batch_norm
from prunecli.training.settings import EpochRecord, FitResult, FitSettings

__all__ = [
    "EpochRecord",
    "Evaluation",
    "FitResult",
    "FitSettings",
    "Hooks",
    "evaluate",
    "fit",
    "recalibrate_batch_norm",
]
