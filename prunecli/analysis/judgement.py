"""Criteria judged by what their cuts do to the network, once and without fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunecli.analysis.agreement import spearman
from prunecli.analysis.comparison import Comparison

ORACLE = "oracle"
RANDOM = "random"
FEWEST_CRITERIA = 3
VISIBLE = 2.0
"""Standard errors by which two measurements must differ before the difference is called visible."""


@dataclass(frozen=True, eq=False)
class Cut:
    """What one cut leaves, on images that no criterion has seen; None is what is not finite or unmeasured."""

    ratio: float
    """Fraction of the channels removed."""
    loss: float | None
    accuracy: float | None
    """In percent."""
    output_error: float | None
    """Relative error of the layers' outputs."""
    params: int
    macs: int
    image_losses: NDArray[np.float64] | None = None
    """(n,): the loss image by image, in the same order for every cut, for the error of a difference."""

    def document(self) -> dict[str, Any]:
        """The JSON of one cut."""
        return {
            "ratio": self.ratio,
            "loss": _finite(self.loss),
            "accuracy": _finite(self.accuracy),
            "output_error": _finite(self.output_error),
            "params": self.params,
            "macs": self.macs,
        }


@dataclass(frozen=True, eq=False)
class CriterionJudgement:
    """One criterion: its agreement with the oracle, averaged over layers, and its cuts."""

    criterion: str
    oracle_spearman: float | None
    cuts: tuple[Cut, ...]

    def at(self, ratio: float) -> Cut | None:
        """The cut at `ratio`, None when there is none."""
        return next((cut for cut in self.cuts if cut.ratio == ratio), None)

    def document(self) -> dict[str, Any]:
        """The JSON of one criterion."""
        return {
            "criterion": self.criterion,
            "oracle_spearman": self.oracle_spearman,
            "cuts": [cut.document() for cut in self.cuts],
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """All criteria judged on the same held-out images."""

    criteria: tuple[CriterionJudgement, ...]
    images: int
    """How many held-out images there were."""
    loss: float | None = None
    """Of the network before any cut."""
    accuracy: float | None = None
    """Of the network before any cut, in percent."""

    def document(self) -> dict[str, Any]:
        """The JSON of `compare --judge`, to stand beside that of the comparison."""
        return {
            "judgement": [one.document() for one in self.criteria],
            "judgement_before": {
                "images": self.images,
                "loss": _finite(self.loss),
                "accuracy": _finite(self.accuracy),
            },
            "oracle_foretells": [
                {"ratio": ratio, "spearman": self.oracle_foretells(ratio)} for ratio in self.ratios()
            ],
        }

    def ratios(self) -> tuple[float, ...]:
        """Every ratio at which there is a cut, in order of appearance."""
        return tuple(dict.fromkeys(cut.ratio for one in self.criteria for cut in one.cuts))

    def oracle_foretells(self, ratio: float) -> float | None:
        """Over criteria, the rank correlation of agreement with the oracle and −loss; the oracle left out.

        None for fewer than three criteria.
        """
        known = [
            (one.oracle_spearman, -cut.loss)
            for one in self.criteria
            if one.criterion != ORACLE
            and one.oracle_spearman is not None
            and (cut := one.at(ratio)) is not None
            and cut.loss is not None
            and math.isfinite(cut.loss)
        ]
        if len(known) < FEWEST_CRITERIA:
            return None
        agreement, fidelity = np.array(known).T
        return spearman(agreement, fidelity)

    def remarks(self) -> tuple[str, ...]:
        """In words, ratio by ratio: who does least damage, and whether chance does visibly more."""
        return tuple(line for ratio in self.ratios() if (line := self._remark(ratio)) is not None)

    def _remark(self, ratio: float) -> str | None:
        cuts = {one.criterion: cut for one in self.criteria if (cut := one.at(ratio)) is not None}
        measured = {name: cut for name, cut in cuts.items() if _finite(cut.loss) is not None}
        if not measured:
            return None
        broken = self._broken(ratio, measured.values())
        if broken is not None:
            return broken
        best = min(measured, key=lambda name: _damage(measured[name]))
        if best == RANDOM:
            return f"at {ratio} no criterion does less damage than random ({_figures(cuts[RANDOM])})"
        says = f"at {ratio} {best} does least damage ({_figures(cuts[best])})"
        chance = measured.get(RANDOM)
        return says if chance is None else says + self._against_chance(cuts[best], chance)

    def _against_chance(self, best: Cut, chance: Cut) -> str:
        visible = visibly_less(best, chance, images=self.images)
        if visible is None:
            return f", random: {_figures(chance)}"
        if visible:
            return f", visibly less than random ({_figures(chance)})"
        return (
            f", but not visibly less than random ({_figures(chance)}): "
            f"{self.images} images do not tell them apart"
        )

    def _broken(self, ratio: float, cuts: Iterable[Cut]) -> str | None:
        """What to say when no cut keeps half of the whole network's accuracy: losses then tell little."""
        left = [accuracy for cut in cuts if (accuracy := _finite(cut.accuracy)) is not None]
        whole = _finite(self.accuracy)
        if whole is None or not left or max(left) >= whole / 2:
            return None
        return (
            f"at {ratio} every criterion breaks the network (accuracy at most {max(left):.1f} %, "
            f"whole {whole:.1f} %): a smaller ratio tells more about them"
        )


def oracle_agreement(comparison: Comparison) -> dict[str, float | None]:
    """Criterion → Spearman with the oracle, averaged over layers; all None without the oracle among them."""
    found: dict[str, float | None] = dict.fromkeys(comparison.criteria)
    for pair in comparison.pairs:
        if ORACLE in (pair.a, pair.b):
            found[pair.b if pair.a == ORACLE else pair.a] = pair.average.spearman
    if ORACLE in found:
        found[ORACLE] = 1.0
    return found


def visibly_less(better: Cut, worse: Cut, *, images: int) -> bool | None:
    """Whether the damage differs by more than two standard errors; None when that cannot be told.

    By the losses of the same images, pairwise, where both cuts have them; else by the accuracies, as those of
    `images` independent answers each.
    """
    if better.image_losses is not None and worse.image_losses is not None:
        return _differ(better.image_losses, worse.image_losses)
    if better.accuracy is None or worse.accuracy is None or images < 1:
        return None
    first, second = better.accuracy / 100, worse.accuracy / 100
    # Agresti and Caffo's two extra answers a side: shares of 0 and 1 are not free of error.
    shares = [(share * images + 1) / (images + 2) for share in (first, second)]
    error = math.sqrt(sum(share * (1 - share) / (images + 2) for share in shares))
    return shares[0] - shares[1] > VISIBLE * error


def _differ(better: Sequence[float] | NDArray[np.float64], worse: NDArray[np.float64]) -> bool | None:
    differences = np.asarray(worse, float) - np.asarray(better, float)
    if len(differences) < 2 or not np.isfinite(differences).all():
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return float(differences.mean()) > VISIBLE * error


def _damage(cut: Cut) -> tuple[float, float]:
    loss, accuracy = _finite(cut.loss), _finite(cut.accuracy)
    return (math.inf if loss is None else loss, 0.0 if accuracy is None else -accuracy)


def _figures(cut: Cut) -> str:
    accuracy = _finite(cut.accuracy)
    loss = f"loss {cut.loss:.3g}"
    return loss if accuracy is None else f"{loss}, accuracy {accuracy:.1f} %"


def _finite(figure: float | None) -> float | None:
    return figure if figure is not None and math.isfinite(figure) else None
