"""Criteria that silence filters and look at the network: what the estimates of the others are measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import representable

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.criteria.evidence import AblationEvidence


@criterion("oracle", needs=Needs.ABLATION, source="Molchanov et al. 2017, arXiv:1611.06440")
def loss_increase(evidence: Evidence) -> Tensor:
    """Increase of the loss when the filter's feature map alone is silenced; one pass a filter.

    score_f = L(m_f = 0) − L                                (F,) → (F,)

    What it costs: as many passes over the calibration images as there are filters.
    """
    return representable(_ablation(evidence).loss.double(), evidence.weight)


@criterion(
    "ablation_acc", needs=Needs.ABLATION, source="Molchanov et al. 2017, with the accuracy for the loss"
)
def accuracy_fall(evidence: Evidence) -> Tensor:
    """Percentage points of accuracy lost when the filter's feature map alone is silenced; coarse, with ties.

    score_f = accuracy − accuracy(m_f = 0)                  (F,) → (F,)
    """
    return representable(_ablation(evidence).accuracy.double(), evidence.weight)


@criterion("ig", needs=Needs.GATE_PATH, source="Sundararajan et al. 2017, arXiv:1703.01365, on gates")
def integrated_gradients(evidence: Evidence) -> Tensor:
    """The filter's share of what the loss gains when the gates of its layer close together.

    score_f = ∫ ∂L/∂m_f dm, m from 1 to 0 on all of the layer's gates       (F,) → (F,)

    Over the layer's filters the scores add up to L(layer silent) − L (20 steps of the midpoint rule).
    """
    if evidence.gate_path is None:
        raise ValueError(f"{evidence.layer} has no path of gates: ask Criterion.available first")
    return representable(-evidence.gate_path.double(), evidence.weight)


def _ablation(evidence: Evidence) -> AblationEvidence:
    if evidence.ablation is None:
        raise ValueError(f"{evidence.layer} was not silenced: ask Criterion.available first")
    return evidence.ablation
