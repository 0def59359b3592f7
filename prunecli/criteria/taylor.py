"""Criteria that estimate to first order what the loss does when a filter goes.

Those of a gate read ∂L/∂m of a gate m = 1 on the filter's feature map, Σ_p a ∂L/∂a over its positions; those
of weights and batch norms the same slope along what they scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import representable

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.criteria.evidence import GateGradientEvidence

MOLCHANOV_2017 = "Molchanov et al. 2017, arXiv:1611.06440"
MOLCHANOV_2019 = "Molchanov et al. 2019, arXiv:1906.10771"


@criterion("taylor_act", needs=Needs.GATE_GRADIENT, source=MOLCHANOV_2017, zero_is_lowest=True)
def activation_taylor(evidence: Evidence) -> Tensor:
    """Mean size of activation times gradient over images, divided by the layer's length.

    score_f = s_f / ‖s‖₂,  s_f = mean_b |1/P Σ_p a ∂L_b/∂a|       (n, F) → (F,)

    The absolute value stands behind the mean over positions and before the mean over images. Dividing by the
    length of the layer's scores changes nothing within the layer and is what the paper compares layers by.
    """
    given = _gates(evidence)
    sizes = (given.per_image.double() / given.positions).abs().mean(dim=0)
    largest = sizes.amax()
    sizes = sizes / largest.where(largest > 0, 1.0)
    length = sizes.square().sum().sqrt()
    return representable(sizes / length.where(length > 0, 1.0), evidence.weight)


@criterion("taylor", needs=Needs.GATE_GRADIENT, source=MOLCHANOV_2017, zero_is_lowest=True)
def taylor(evidence: Evidence) -> Tensor:
    """The short name of taylor_act: activation times gradient, divided by the layer's length.

    score_f = s_f / ‖s‖₂,  s_f = mean_b |1/P Σ_p a ∂L_b/∂a|       (n, F) → (F,)
    """
    return activation_taylor(evidence)


@criterion(
    "taylor_weight", needs=Needs.WEIGHT_GRADIENT, source=MOLCHANOV_2019, zero_is_lowest=True, per_batch=True
)
def weight_taylor(evidence: Evidence) -> Tensor:
    """Squared first-order change of the loss when a filter's weights become zero, batch by batch.

    score_f = mean_batches (Σ_k W_fk ∂L_batch/∂W_fk)²             (batches, F) → (F,)

    L_batch is the mean loss of a batch; the square is taken of each batch, as in the paper's training loop.
    """
    given = evidence.weight_gradient
    if given is None:
        raise ValueError(f"{evidence.layer} has no weight gradients: ask Criterion.available first")
    return representable(given.products.double().square().mean(dim=0), evidence.weight)


@criterion(
    "gate_taylor", needs=Needs.GATE_GRADIENT, source=MOLCHANOV_2019, zero_is_lowest=True, per_batch=True
)
def gate_taylor(evidence: Evidence) -> Tensor:
    """Squared slope of the loss along a gate on the filter's feature map, batch by batch.

    score_f = mean_batches (∂L_batch/∂m_f)²,  ∂L_batch/∂m = mean_b Σ_p a ∂L_b/∂a       (n, F) → (F,)

    L_batch is the mean loss of a batch, as the authors' code has it (method 22). Their gate stands behind the
    batch norm, ours behind the activation function as well: behind a rectifier that is the same slope.
    """
    return representable(gate_slopes(evidence).square().mean(dim=0), evidence.weight)


@criterion("bn_taylor", needs=Needs.NORM_PRODUCTS, source=MOLCHANOV_2019, zero_is_lowest=True, per_batch=True)
def norm_taylor(evidence: Evidence) -> Tensor:
    """Squared first-order change of the loss when a channel's batch-norm scale and shift become zero.

    score_f = mean_batches (γ_f ∂L_batch/∂γ_f + β_f ∂L_batch/∂β_f)²       (batches, F) → (F,)
    """
    if evidence.norm_products is None:
        raise ValueError(f"{evidence.layer} has no batch normalisation: ask Criterion.available first")
    return representable(evidence.norm_products.double().square().mean(dim=0), evidence.weight)


def gate_slopes(evidence: Evidence) -> Tensor:
    """(batches, F): ∂L_batch/∂m of every batch's mean loss, in float64."""
    import torch

    given = _gates(evidence)
    parts = torch.split(given.per_image.double(), list(given.batch_sizes))
    return torch.stack([part.mean(dim=0) for part in parts])


def _gates(evidence: Evidence) -> GateGradientEvidence:
    if evidence.gate_gradient is None:
        raise ValueError(f"{evidence.layer} has no gate gradients: ask Criterion.available first")
    return evidence.gate_gradient
