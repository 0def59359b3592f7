"""The accuracy of a network before it was pruned, right after its last cut, and as it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from prunecli.data import Split
from prunecli.errors import GateNotMet
from prunecli.strategies.contract import PruningOutcome
from prunecli.training.evaluation import evaluate
from prunecli.training.recalibration import recalibrate_batch_norm
from prunecli.workflows.data import Images


@dataclass(frozen=True)
class Judge:
    """Reads one `part` of the images, "test" or "validation".

    `recalibrate` are the batches on which the batch norms of a network that was cut last, not trained, are
    measured again.
    """

    images: Images
    part: str
    recalibrate: int
    seed: int
    device: str

    @property
    def _manner(self) -> dict[str, Any]:
        return {"mean": self.images.mean, "std": self.images.std, "device": self.device}

    @property
    def _split(self) -> Split:
        data = self.images.data
        return data.validation if self.part == "validation" else data.test

    def accuracies(self, before: nn.Module, outcome: PruningOutcome) -> dict[str, float | None]:
        """Accuracies in %; None for right after the cut where the network was trained since."""
        found = self._accuracy(before)
        cut = self._accuracy(outcome.cut)
        # A network that was trained has measured its batch norms on the way.
        changed = not outcome.trained_since and self._recalibrated(outcome.cut)
        return {
            "before": found,
            "cut": None if outcome.trained_since else cut,
            "after": self._accuracy(outcome.cut) if changed else cut,
        }

    def gate(self, accuracy: dict[str, float | None], max_drop: float | None) -> GateNotMet | None:
        """The gate that is missed when accuracy falls by more than `max_drop` points."""
        before, after = accuracy["before"], accuracy["after"]
        if max_drop is None or before is None or after is None or before - after <= max_drop:
            return None
        return GateNotMet(f"accuracy fell by {before - after:.2f} points, more than the {max_drop:g} allowed")

    def _accuracy(self, network: nn.Module) -> float:
        return evaluate(network, self._split, **self._manner).accuracy

    def _recalibrated(self, network: nn.Module) -> bool:
        train, count = self.images.data.train, self.recalibrate
        return count > 0 and bool(
            recalibrate_batch_norm(network, train, batches=count, seed=self.seed, **self._manner)
        )
