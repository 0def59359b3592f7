"""Criteria that let a layer's filters choose who stands for whom.

Both work on the (F, F) matrix of inner products: memory and time of an iteration grow with F², not with K.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.rows import centred, representable
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor

DAMPING = 0.5
MESSAGE_ROUNDS = 200
# Rounds without a change of the exemplars after which the messages have settled.
SETTLED_ROUNDS = 15

LLOYD_ITERATIONS = 300
# Squared distances closer than this share of the largest squared length count as equal: float64 products are
# off by less, and both filters of a pair are equally far from their mean.
EQUALLY_NEAR = 1e-12


@criterion("exemplar", needs=Needs.WEIGHT, source="Lin et al. 2021, arXiv:2101.07985")
def exemplar_evidence(evidence: Evidence, *, beta: float = 0.75) -> Tensor:
    """How strongly affinity propagation makes a filter stand for the others; above 0 it is an exemplar.

    score_f = a(f,f) + r(f,f)                               (F, K) → (F,)

    The messages of Frey & Dueck on similarities −‖F_i − F_j‖², damped by 0.5, 200 rounds or until the
    exemplars have stayed the same for 15. A filter's preference is beta times the median of its
    similarities, its own 0 among them: a larger beta leaves fewer exemplars. Equal filters take part as one
    and share its score; when all are equal it is 0. Needs 4 matrices (F, F) of float64.
    """
    import torch

    # Messages between copies are a balance that rounding would tip: which of them wins would be chance.
    distinct, place = torch.unique(evidence.weight, dim=0, return_inverse=True)
    products, scale = _inner_products(distinct)
    if len(products) == 1:
        return torch.zeros_like(evidence.weight[:, 0])
    lengths = products.diagonal().clone()
    similarities = products.mul_(2).sub_(lengths[:, None]).sub_(lengths).clamp_(max=0)
    similarities.diagonal().zero_()
    similarities.diagonal().copy_(beta * _middle(similarities))
    # One factor at a time: the square of the scale may be beyond float64.
    return representable(_self_messages(similarities)[place] * scale * scale, evidence.weight)


@criterion("kmeans", needs=Needs.WEIGHT, source="Ding et al. 2021, arXiv:2107.14444")
def representative(evidence: Evidence, *, share: float = 0.5) -> Tensor:
    """1 for the filter that stands for its k-means cluster, for the others how far from it they are.

    score_f = 1 if r(f) = f else F/(F + 1) · ‖F_f − F_r(f)‖ / max_j ‖F_j − F_r(j)‖      (F, K) → (F,)

    r(f) is the filter nearest to the mean of f's cluster; of equally near ones the longer. The number of
    clusters is share × F, rounded, at least 1; fewer when there are fewer different filters. Lloyd's
    iterations start from the filter farthest from the layer's mean, and then always the one farthest from
    those that were taken: no order and no chance is in it. Raises WrongUse unless share is in (0, 1].
    """
    import torch

    if not 0 < share <= 1:
        raise WrongUse(
            f"share of kmeans is above 0 and at most 1, not {share}", hints=["for example: share=0.5"]
        )
    weight = evidence.weight
    count = len(weight)
    products, _ = _inner_products(weight)
    products = products.cpu()
    squares = products.diagonal()
    start = farthest_first(products, max(1, round(share * count)))
    labels, distances = lloyd(products, start)
    strength = weight.double().square().sum(dim=1).cpu()
    leaders = _representatives(labels, distances, strength, slack=EQUALLY_NEAR * float(squares.max()))
    mine = leaders[labels]
    away = (squares + squares[mine] - 2 * products[torch.arange(count), mine]).clamp_(min=0).sqrt_()
    farthest = float(away.max()) or 1.0
    scores = away * (count / (count + 1) / farthest)
    scores[leaders[leaders >= 0]] = 1.0
    return scores.to(weight.dtype).to(weight.device)


def farthest_first(products: Tensor, clusters: int) -> Tensor:
    """Filters (k,), the one farthest from the mean first, then each farthest from those before it.

    `products` (F, F) are inner products of rows about their mean. Fewer than `clusters` filters come back
    when the others are copies of them.
    """
    import torch

    squares = products.diagonal()
    chosen = [int(squares.argmax())]
    apart = torch.full_like(squares, torch.inf)
    while len(chosen) < clusters:
        last = chosen[-1]
        apart = torch.minimum(apart, squares + squares[last] - 2 * products[last])
        apart[last] = 0
        following = int(apart.argmax())
        if float(apart[following]) <= EQUALLY_NEAR * float(squares.max()):
            break
        chosen.append(following)
    return torch.tensor(chosen)


def lloyd(products: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """k-means from the filters `start` (k,): each filter's cluster and squared distance to that one's mean.

    ‖F_f − mean_c‖² = G_ff − 2 mean_{j in c} G_fj + mean_{i,j in c} G_ij of the inner products G (F, F): no
    mean is ever formed. → (F,), (F,)
    """
    import torch

    squares = products.diagonal()
    distances = squares[:, None] - 2 * products[:, start] + squares[start]
    labels = distances.argmin(dim=1)
    for _ in range(LLOYD_ITERATIONS):
        sizes = torch.bincount(labels, minlength=len(start))
        means = torch.zeros(len(start), len(products), dtype=products.dtype)
        means.index_add_(0, labels, products).div_(sizes.clamp(min=1)[:, None])
        within = torch.zeros(len(start), dtype=products.dtype)
        within.index_add_(0, labels, means[labels, torch.arange(len(labels))]).div_(sizes.clamp(min=1))
        # An empty cluster is nobody's.
        within[sizes == 0] = torch.inf
        distances = (squares + within[:, None]).sub_(means, alpha=2)
        previous, labels = labels, distances.argmin(dim=0)
        if torch.equal(labels, previous):
            break
    return labels, distances[labels, torch.arange(len(labels))]


def _representatives(labels: Tensor, distances: Tensor, strength: Tensor, *, slack: float) -> Tensor:
    """The filter nearest to each cluster's mean, of equally near ones the strongest: (k,), −1 for none."""
    import torch

    clusters = int(labels.max()) + 1
    least = torch.full((clusters,), torch.inf, dtype=distances.dtype)
    least.scatter_reduce_(0, labels, distances, "amin")
    near = (distances <= least[labels] + slack).tolist()
    found, cluster = [-1] * clusters, labels.tolist()
    for index in strength.argsort(descending=True, stable=True).tolist():
        if near[index] and found[cluster[index]] < 0:
            found[cluster[index]] = index
    return torch.tensor(found)


def _inner_products(weight: Tensor) -> tuple[Tensor, float]:
    """Inner products of the filters about their mean, divided by the square of a scale; the scale."""
    rows, scale = centred(weight)
    return rows @ rows.T, scale


def _middle(similarities: Tensor) -> Tensor:
    """The median of every row, of an even number the mean of the two in the middle: (F, F) → (F,)."""
    ordered = similarities.sort(dim=1).values
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[:, half]
    return (ordered[:, half - 1] + ordered[:, half]) / 2


def _self_messages(similarities: Tensor) -> Tensor:
    """a(f,f) + r(f,f) after the rounds of affinity propagation: (F, F) → (F,)."""
    import torch

    count = len(similarities)
    responsibility, availability, new = (torch.zeros_like(similarities) for _ in range(3))
    every = torch.arange(count, device=similarities.device)
    exemplars, unchanged = every < 0, 0
    for _ in range(MESSAGE_ROUNDS):
        torch.add(availability, similarities, out=new)
        best, at = new.max(dim=1)
        new[every, at] = -torch.inf
        second = new.amax(dim=1)
        torch.sub(similarities, best[:, None], out=new)
        new[every, at] = similarities[every, at] - second
        responsibility.lerp_(new, 1 - DAMPING)

        own = responsibility.diagonal()
        torch.clamp(responsibility, min=0, out=new)
        new.diagonal().copy_(own)
        received = new.sum(dim=0)
        torch.sub(received, new, out=new)
        itself = new.diagonal().clone()
        new.clamp_(max=0).diagonal().copy_(itself)
        availability.lerp_(new, 1 - DAMPING)

        messages = availability.diagonal() + own
        unchanged = unchanged + 1 if torch.equal(messages > 0, exemplars) else 0
        exemplars = messages > 0
        if unchanged >= SETTLED_ROUNDS and bool(exemplars.any()):
            break
    return messages
