"""The accuracy of a network before it was pruned, right after its last cut, and as it leaves."""

from __future__ import annotations

import copy
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
        found = self.accuracy(before)
        cut = self.accuracy(outcome.cut)
        # A network that was trained since has measured its batch norms on the way.
        changed = not outcome.trained_since and self._recalibrated(outcome)
        return {
            "before": found,
            "cut": None if outcome.trained_since else cut,
            "after": self.accuracy(outcome.cut) if changed else cut,
        }

    def gate(self, accuracy: dict[str, float | None], max_drop: float | None) -> GateNotMet | None:
        """The gate that is missed when accuracy falls by more than `max_drop` points."""
        before, after = accuracy["before"], accuracy["after"]
        if max_drop is None or before is None or after is None or before - after <= max_drop:
            return None
        return GateNotMet(f"accuracy fell by {before - after:.2f} points, more than the {max_drop:g} allowed")

    def fresh_cut(self, network: nn.Module) -> float:
        """The accuracy in % of a network that was just cut; its batch norms are measured again in place."""
        if self.recalibrate:
            recalibrate_batch_norm(
                network, self.images.data.train, batches=self.recalibrate, seed=self.seed, **self._manner
            )
        return self.accuracy(network)

    def accuracy(self, network: nn.Module, split: Split | None = None) -> float:
        """The accuracy in % on the part, or on another one."""
        return evaluate(network, split or self._split, **self._manner).accuracy

    def _recalibrated(self, outcome: PruningOutcome) -> bool:
        """Whether the batch norms of the cut network are measured again now.

        One that was trained along the way may lose by it, where nothing was pruned in the end that had not
        been before: it keeps the numbers with which the validation part goes better.
        """
        network, data = outcome.cut, self.images.data
        if not self.recalibrate:
            return False
        kept = copy.deepcopy(network.state_dict()) if outcome.history else None
        changed = recalibrate_batch_norm(
            network, data.train, batches=self.recalibrate, seed=self.seed, **self._manner
        )
        if kept is None or not changed:
            return bool(changed)
        again = self.accuracy(network, data.validation)
        measured = copy.deepcopy(network.state_dict())
        network.load_state_dict(kept)
        if self.accuracy(network, data.validation) >= again:
            return False
        network.load_state_dict(measured)
        return True
