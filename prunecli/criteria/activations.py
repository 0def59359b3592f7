"""Criteria that look at how feature maps vary over the calibration images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.evidence import ActivationEvidence
from prunecli.criteria.rows import representable
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor

# Below this share of a channel's largest mean, what differs between images is rounding.
CONSTANT = 1e-6
# The least that the variance within classes counts, as a share of all variance.
WITHIN_FLOOR = 1e-6


@criterion("apoz", needs=Needs.ZERO_SHARE, source="Hu et al. 2016, arXiv:1607.03250", zero_is_lowest=True)
def share_of_activity(evidence: Evidence) -> Tensor:
    """Share of a feature map that is not zero, behind a rectifier: one minus the average percentage of zeros.

    score_f = 1 − mean_{b,p} [a_bfp = 0]                      (n, F, P) → (F,)
    """
    if evidence.zero_share is None:
        raise ValueError(f"{evidence.layer} has no rectifier behind it: ask Criterion.available first")
    return representable(1 - evidence.zero_share.double(), evidence.weight)


@criterion("mean_act", needs=Needs.ACTIVATION, source="Molchanov et al. 2017, arXiv:1611.06440")
def mean_activation(evidence: Evidence, *, how: str = "mean") -> Tensor:
    """Mean of a feature map, or of its magnitude with how=absolute, over images and positions.

    score_f = mean_{b,p} a_bfp,  or  mean_{b,p} |a_bfp|       (n, F, P) → (F,)
    """
    activation = _activation(evidence)
    _one_of("mean_act", "how", how, ("mean", "absolute"))
    score = activation.pooled.double().mean(dim=0) if how == "mean" else activation.absolute.double()
    return representable(score, evidence.weight)


@criterion(
    "std_act", needs=Needs.ACTIVATION, source="Polyak and Wolf 2015, IEEE Access 3", zero_is_lowest=True
)
def deviation_of_activation(evidence: Evidence) -> Tensor:
    """Standard deviation over images of a feature map's mean.

    score_f = sqrt(mean_b (m_bf − mean_b m_bf)²),  m_bf = mean_p a_bfp      (n, F) → (F,)
    """
    return representable(_activation(evidence).pooled.double().std(dim=0, correction=0), evidence.weight)


@criterion(
    "act_l2", needs=Needs.ACTIVATION, source="the length of feature maps, a baseline", zero_is_lowest=True
)
def length_of_activation(evidence: Evidence) -> Tensor:
    """Mean over images of a feature map's Euclidean length.

    score_f = mean_b sqrt(Σ_p a_bfp²)                         (n, F, P) → (F,)
    """
    return representable(_activation(evidence).length.double(), evidence.weight)


@criterion("entropy", needs=Needs.ACTIVATION, source="Luo and Wu 2017, arXiv:1706.05791", zero_is_lowest=True)
def entropy_of_activation(evidence: Evidence, *, bins: int = 20, mode: str = "probability") -> Tensor:
    """Entropy of the histogram of a feature map's means over images, in bits.

    score_f = −Σ_b p_b log₂ p_b                               (n, F) → (F,)

    The bins divide the channel's own range. p_b is the share of images in bin b; with mode=ice it is their
    density, as in ICE-Pruning, so that the score depends on the channel's range and may be negative. A
    channel that is the same for all images scores 0.
    """
    import torch

    _one_of("entropy", "mode", mode, ("probability", "ice"))
    if bins < 1:
        raise WrongUse(
            f"entropy takes at least one bin, not {bins}", hints=["for example: entropy(bins=100)"]
        )
    pooled, constant = _activation(evidence).pooled.double(), _constant(evidence)
    low, high = pooled.amin(dim=0), pooled.amax(dim=0)
    spread = (high - low).where(~constant, 1.0)
    at = ((pooled - low) / spread * bins).long().clamp(min=0, max=bins - 1)
    counts = pooled.new_zeros(bins, pooled.shape[1]).scatter_add_(0, at, torch.ones_like(pooled))
    shares = counts / len(pooled)
    bits = -torch.special.xlogy(shares, shares).sum(dim=0) / torch.log(pooled.new_tensor(2.0))
    if mode == "ice":  # Σ over bins of d log₂ d, where d = share × bins ÷ spread
        bits = (bits - torch.log2(bins / spread)) * bins / spread
    return representable(bits.where(~constant, 0.0), evidence.weight)


@criterion(
    "act_corr",
    needs=Needs.ACTIVATION,
    source="functional redundancy after Qin et al. 2018, arXiv:1810.07322",
    zero_is_lowest=True,
)
def uncorrelated_activation(evidence: Evidence) -> Tensor:
    """How little a feature map's mean follows that of its most similar neighbour, over images.

    score_f = 1 − max_{j ≠ f} |corr_b(m_bf, m_bj)|            (n, F) → (F,)

    A channel that is the same for all images scores 0, since a bias can stand for it; no other follows it.
    """
    import torch

    pooled, constant = _activation(evidence).pooled.double(), _constant(evidence)
    centred = (pooled - pooled.mean(dim=0)).where(~constant, 0.0)
    units = centred / torch.linalg.vector_norm(centred, dim=0).where(~constant, 1.0)
    alike = (units.T @ units).abs().fill_diagonal_(0.0)
    return representable((1 - alike.amax(dim=1)).clamp(min=0).where(~constant, 0.0), evidence.weight)


@criterion("lda", needs=Needs.ACTIVATION, source="Tian et al. 2017, arXiv:1704.06305", zero_is_lowest=True)
def fisher_ratio(evidence: Evidence) -> Tensor:
    """How well a feature map's mean tells classes apart: variance between classes over variance within.

    score_f = Σ_k n_k (μ_kf − μ_f)² ÷ Σ_k Σ_{b ∈ k} (m_bf − μ_kf)²      (n, F) → (F,)

    The variance within counts as at least 1e-6 of all variance, so that a perfect separation scores 1e6; a
    channel that is the same for all images scores 0.
    """
    import torch

    activation, constant = _activation(evidence), _constant(evidence)
    pooled = activation.pooled.double()
    centred = (pooled - pooled.mean(dim=0)).where(~constant, 0.0)
    _, classes, sizes = torch.unique(activation.labels, return_inverse=True, return_counts=True)
    sums = centred.new_zeros(len(sizes), centred.shape[1]).index_add_(0, classes, centred)
    means = sums / sizes[:, None]
    between = (sizes[:, None] * means.square()).sum(dim=0)
    within = (centred - means[classes]).square().sum(dim=0)
    floor = WITHIN_FLOOR * (between + within)
    return representable(between / within.maximum(floor).where(~constant, 1.0), evidence.weight)


def _activation(evidence: Evidence) -> ActivationEvidence:
    if evidence.activation is None:
        raise ValueError(f"{evidence.layer} was not seen on images: ask Criterion.available first")
    return evidence.activation


def _constant(evidence: Evidence) -> Tensor:
    """(F,) bool: whether a channel's mean is the same for all images but for rounding."""
    pooled = _activation(evidence).pooled
    return pooled.amax(dim=0) - pooled.amin(dim=0) <= CONSTANT * pooled.abs().amax(dim=0)


def _one_of(name: str, option: str, given: str, valid: tuple[str, ...]) -> None:
    if given not in valid:
        raise WrongUse(f"{name} has no {option}={given}", hints=[f"valid: {option}={'|'.join(valid)}"])
