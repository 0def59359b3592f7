"""Criteria that estimate to second order what the loss does when a filter goes.

The Hessian of a trained network is taken for the Fisher matrix: the mean over images of g gᵀ, g an image's
gradient. First-order terms are taken to be zero, as at the end of a training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import representable
from prunecli.criteria.taylor import gate_slopes

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.criteria.evidence import OutputEvidence

DAMPING = 1e-5


@criterion(
    "fisher_mask",
    needs=Needs.GATE_GRADIENT,
    source="Kwon et al. 2022, arXiv:2204.09656; Theis et al. 2018, arXiv:1801.05787",
    zero_is_lowest=True,
    per_batch=True,
)
def mask_fisher(evidence: Evidence) -> Tensor:
    """Diagonal of the Fisher matrix of masks on feature maps, from the gradients of batches.

    score_f = Σ_batches (∂L_batch/∂m_f)²                    (n, F) → (F,)

    L_batch is the mean loss of a batch. It is gate_taylor times the number of batches: two papers come to the
    same order by different ways.
    """
    return representable(gate_slopes(evidence).square().sum(dim=0), evidence.weight)


@criterion(
    "group_fisher",
    needs=Needs.GATE_GRADIENT | Needs.COST,
    source="Liu et al. 2021, arXiv:2108.00708",
    zero_is_lowest=True,
)
def coupled_fisher(evidence: Evidence) -> Tensor:
    """Fisher information of a mask on all that leaves with a filter, by the memory that this saves.

    score_f = Σ_b (Σ_coupled ∂L_b/∂m_f)² / activations      (n, F) → (F,)

    The gradients of the coupled layers are added before the square, image by image. Activations are the
    elements of one image's feature maps that go with a channel.
    """
    given, cost = evidence.gate_gradient, evidence.cost
    if given is None or cost is None:
        raise ValueError(f"{evidence.layer} lacks gradients or cost: ask Criterion.available first")
    information = given.coupled.double().square().sum(dim=0)
    return representable(information / max(cost.activations, 1.0), evidence.weight)


@criterion(
    "hessian_diag",
    needs=Needs.CURVATURE,
    source="LeCun et al. 1989, Optimal Brain Damage, NIPS 2",
    zero_is_lowest=True,
)
def optimal_brain_damage(evidence: Evidence) -> Tensor:
    """Sum over a filter of half the squared weight times the diagonal of the Fisher matrix.

    score_f = ½ mean_b Σ_k (W_fk ∂L_b/∂W_fk)²               (F,) → (F,)
    """
    if evidence.curvature is None:
        raise ValueError(f"{evidence.layer} has no curvature: ask Criterion.available first")
    return representable(evidence.curvature.double() / 2, evidence.weight)


@criterion(
    "obdc", needs=Needs.OUTPUT, source="Wang et al. 2019, EigenDamage, arXiv:1905.05934", zero_is_lowest=True
)
def kronecker_brain_damage(evidence: Evidence) -> Tensor:
    """Loss of taking a whole filter away under a Kronecker-factored Fisher matrix.

    score_f = ½ W_fᵀ A W_f · G_ff = ½ · mean Σ_p z_f² · mean Σ_p g_f² / P       (F,), (F,) → (F,)

    A is the second moment of the layer's inputs summed over positions, G that of the gradients g at its
    outputs z = W x averaged over them (Grosse and Martens 2016, arXiv:1602.01407), so that W_fᵀ A W_f is the
    energy of z. A filter's own term of ½ vec(ΔW)ᵀ (A ⊗ G) vec(ΔW) does not depend on the basis in which it is
    written: the eigenbasis of the factors, in which EigenDamage prunes, gives whole filters no other score.
    """
    given = _output(evidence)
    energies = given.energy.double() * given.gradient_energy.double()
    return representable(energies / (2 * given.positions), evidence.weight)


@criterion(
    "woodfisher",
    needs=Needs.WEIGHT | Needs.OUTPUT,
    source="Singh and Alistarh 2020, arXiv:2004.14340",
    zero_is_lowest=True,
)
def block_fisher(evidence: Evidence) -> Tensor:
    """Loss of taking a whole filter away under the Fisher matrix of its weights, one block a filter.

    score_f = ½ W_fᵀ (F_f + λ 1) W_f = ½ (mean_b (Σ_k W_fk ∂L_b/∂W_fk)² + λ ‖W_f‖²)      λ = 1e-5      → (F,)

    Optimal brain surgery takes a set S of weights at ½ W_Sᵀ [(F⁻¹)_SS]⁻¹ W_S and readjusts the others of the
    block. With the filter itself as the block, S is all of it: the inverse of the inverse is F_f + λ 1, and
    nothing is left to readjust.
    """
    along = _output(evidence).products.double().square().mean(dim=0)
    ridge = DAMPING * evidence.weight.double().square().sum(dim=1)
    return representable((along + ridge) / 2, evidence.weight)


def _output(evidence: Evidence) -> OutputEvidence:
    if evidence.output is None:
        raise ValueError(f"{evidence.layer} was not observed: ask Criterion.available first")
    return evidence.output
