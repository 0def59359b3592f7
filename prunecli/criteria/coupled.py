"""Criteria that read all that leaves with a filter: its weights, its norm's, those that read its channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import absolute_sums, largest, lengths, representable

if TYPE_CHECKING:
    from torch import Tensor


@criterion(
    "dep_l1",
    needs=Needs.WEIGHT | Needs.COUPLED,
    source="Fang et al. 2023, arXiv:2301.12900; Yan et al. 2020, arXiv:2011.03240",
    zero_is_lowest=True,
)
def coupled_l1_norm(evidence: Evidence) -> Tensor:
    """Sum of the absolute weights of all that leaves with a filter.

    score_f = Σ_T Σ_{k leaves with f} |T_k|                 (R, K') each of the tensors T → (F,)

    The tensors are the filter's own weights, its bias, its batch norm's scale and shift, the slices of the
    layers that read its channel, and the same of every layer whose filters leave with it.
    """
    return representable(_over_tensors(evidence, absolute_sums), evidence.weight)


@criterion(
    "dep_l2",
    needs=Needs.WEIGHT | Needs.COUPLED,
    source="Fang et al. 2023, arXiv:2301.12900",
    zero_is_lowest=True,
)
def coupled_l2_norm(evidence: Evidence) -> Tensor:
    """Euclidean length of all that leaves with a filter, taken as one vector.

    score_f = sqrt(Σ_T Σ_{k leaves with f} T_k²)            (R, K') each of the tensors T → (F,)

    The tensors are those of `dep_l1`.
    """
    slices = evidence.coupled or ()
    scale = (
        max((float(largest(each.rows).amax()) for each in slices if each.rows.numel()), default=0.0) or 1.0
    )
    squares = _over_tensors(evidence, lambda rows: (lengths(rows).double() / scale).square_())
    return representable(squares.sqrt() * scale, evidence.weight)


@criterion(
    "cpmc",
    needs=Needs.WEIGHT | Needs.COUPLED | Needs.COST,
    source="inspired by Yan et al. 2020, arXiv:2011.03240, whose exact mixture it is not",
    zero_is_lowest=True,
)
def weights_per_cost(evidence: Evidence, *, power: float = 0.5) -> Tensor:
    """Sum of the absolute weights that leave with a filter, over what removing it saves.

    score_f = dep_l1_f / sqrt(MACs saved × parameters saved)^power        (R, K') each of the tensors → (F,)

    Among a layer's filters the order is that of `dep_l1`; between layers, what is dear to keep leaves
    earlier. A power of 0 is `dep_l1` itself, 1 counts the weights by their cost.
    """
    if evidence.cost is None:
        raise ValueError(f"the cost of {evidence.layer} is unknown: ask Criterion.available first")
    # What saves less than one MAC or parameter, such as a layer that no input reaches, counts as one.
    saved = max(evidence.cost.macs, 1.0) * max(evidence.cost.params, 1.0)
    return representable(_over_tensors(evidence, absolute_sums) / saved ** (power / 2), evidence.weight)


@criterion(
    "synflow", needs=Needs.SYNAPTIC_FLOW, source="Tanaka et al. 2020, arXiv:2006.05467", zero_is_lowest=True
)
def synaptic_flow(evidence: Evidence) -> Tensor:
    """Share of the network's summed path strength that goes through all that leaves with a filter.

    score_f = Σ_{w leaves with f} |w ∂R/∂w|,  R = 1ᵀ (Π_layers |W|) 1             (F,) → (F,)

    R is what the network of absolute weights makes of an input of ones.
    """
    if evidence.synaptic_flow is None:
        raise ValueError(f"the synaptic flow of {evidence.layer} is unknown: ask Criterion.available first")
    return representable(evidence.synaptic_flow, evidence.weight)


def _over_tensors(evidence: Evidence, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """`reduce` (R, K') → (R,) of every coupled tensor, summed over the rows of each filter: (F,) float64."""
    import torch

    if evidence.coupled is None:
        raise ValueError(f"what is coupled to {evidence.layer} is unknown: ask Criterion.available first")
    weight = evidence.weight
    sums = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    for each in evidence.coupled:
        sums.index_add_(0, each.owner, reduce(each.rows).double())
    return sums
