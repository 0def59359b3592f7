"""Criteria that weigh weights by their gradients, before, at or during a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import representable

if TYPE_CHECKING:
    from torch import Tensor


def _mean_gradient(evidence: Evidence) -> Tensor:
    if evidence.weight_gradient is None:
        raise ValueError(f"{evidence.layer} has no weight gradients: ask Criterion.available first")
    return evidence.weight_gradient.mean


@criterion(
    "snip",
    needs=Needs.WEIGHT | Needs.WEIGHT_GRADIENT,
    source="Lee et al. 2019, arXiv:1810.02340",
    zero_is_lowest=True,
)
def connection_sensitivity(evidence: Evidence) -> Tensor:
    """Sum of the sizes of weight times gradient over a filter.

    score_f = Σ_k |W_fk ∂L/∂W_fk|                           (F, K), (F, K) → (F,)

    L is the mean loss over all images. The paper's division by the sum over the network changes no order.
    """
    product = evidence.weight.double() * _mean_gradient(evidence)
    return representable(product.abs_().sum(dim=1), evidence.weight)


@criterion("grasp", needs=Needs.HESSIAN_PRODUCT, source="Wang et al. 2020, arXiv:2002.07376")
def gradient_flow(evidence: Evidence) -> Tensor:
    """How much of the gradient's squared length goes with a filter, to first order.

    score_f = Σ_k W_fk (H g)_fk                             (F,) → (F,)

    A change δ of the weights changes ‖g‖² by 2 δ·Hg; taking a weight away is δ = −W. The paper's score of a
    weight is therefore S = −W (H g), and it prunes the highest, those whose loss raises the gradient flow or
    lowers it least. Here higher means keep: the score is −S, summed over the filter.
    """
    if evidence.hessian_product is None:
        raise ValueError(f"{evidence.layer} has no Hessian product: ask Criterion.available first")
    return representable(evidence.hessian_product.double(), evidence.weight)


@criterion("movement", needs=Needs.MOVEMENT, source="Sanh et al. 2020, arXiv:2005.07683", per_batch=True)
def weight_movement(evidence: Evidence) -> Tensor:
    """How far a short training moves a filter's weights away from zero.

    score_f = −Σ_t Σ_k W_fk ∂L_t/∂W_fk                      (F,) → (F,)

    A step of gradient descent moves a weight by −∂L/∂W times the rate, so that W grows in size where
    −W ∂L/∂W is positive. The steps t are those of plain descent on a copy, one a batch.
    """
    if evidence.movement is None:
        raise ValueError(f"{evidence.layer} was not trained: ask Criterion.available first")
    return representable(evidence.movement.double(), evidence.weight)


@criterion(
    "drive",
    needs=Needs.WEIGHT | Needs.WEIGHT_GRADIENT,
    source="inspired by DRIVE, 2024, arXiv:2404.03687",
)
def dual_gradient(
    evidence: Evidence, *, magnitude: float = 1.0, sensitivity: float = 1.0, convergence: float = 1.0
) -> Tensor:
    """Weighted sum of weight, weight times gradient, and gradient, after the DRIVE paper's abstract.

    score_f = Σ_k a n(|W|) + b n(|W g|) + c n(|g|)          (F, K), (F, K) → (F,)

    g is the gradient of the mean loss; n divides by the mean over the layer (over the network no single layer
    knows it), a term whose mean is zero stays zero; a, b, c are `magnitude`, `sensitivity`, `convergence`.
    The paper's own mixture was not published in a form that could be checked.
    """
    import torch

    weight, slope = (_over_largest(each) for each in (evidence.weight, _mean_gradient(evidence)))
    total = torch.zeros_like(weight[:, 0])
    for share, term in ((magnitude, weight), (sensitivity, weight * slope), (convergence, slope)):
        mean = term.mean()
        total += share * (term / mean.where(mean > 0, 1.0)).sum(dim=1)
    return representable(total, evidence.weight)


def _over_largest(matrix: Tensor) -> Tensor:
    """The absolute values in float64, divided by the largest so that their products stay in range."""
    sizes = matrix.double().abs()
    largest = sizes.amax()
    return sizes / largest.where(largest > 0, 1.0)
