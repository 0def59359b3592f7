"""A criterion that asks which channels explain the outputs of the next layers, making up for the others."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from prunecli.criteria.consumers import (
    REMEMBERED,
    Consumers,
    as_scores,
    by_filter,
    consumers_of,
    output_energy,
)
from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.evidence import ConsumerEvidence

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.criteria.consumers import Floats

# What is added to a covariance's diagonal, as a share of its mean.
RIDGE = 1e-6
# When less than this share of the outputs is unexplained, what is left is rounding.
UNEXPLAINED = 1e-6
# Columns of a consumer whose products are held as a whole, 48 MiB of float64 for each of two matrices, and
# how many rows are collected before they are taken off these.
HELD_COLUMNS = 2500
COLLECTED = 256


@criterion("cap", needs=Needs.CONSUMERS, source="Xie et al. 2021, arXiv:2108.13728", zero_is_lowest=True)
def selection_order(evidence: Evidence) -> Tensor:
    """When a channel is chosen if always the one comes next that explains most of the next layers' outputs.

    score_f = (how many are chosen after f) / F,
    next: argmax_c tr(W C_:S (C_SS + ρI)⁻¹ C_S: Wᵀ), S = chosen ∪ c, C = cov(u)               (S, C) → (F,)

    Chosen channels make up for the others by least squares; ρ is 1e-6 of the mean variance. When 1e-6 of the
    variance is unexplained, or half as many columns are chosen as there are samples, so that they soon fit
    anything, the other channels follow by what each alone would add.
    """
    return as_scores(_selection_order(consumers_of(evidence), len(evidence.weight)), evidence)


@lru_cache(maxsize=REMEMBERED)
def _selection_order(consumers: Consumers, filters: int) -> Floats:
    import numpy as np

    searches = [_Search(each, filters) for each in consumers]
    unexplained = sum(search.unexplained for search in searches)
    enough = UNEXPLAINED * unexplained
    least = filters - max(search.most for search in searches)
    score, rest = np.empty(filters), np.ones(filters, dtype=bool)
    for left in range(filters, 0, -1):
        gains = np.sum([search.gains() for search in searches], axis=0)
        if left <= least or unexplained <= enough:
            others = np.flatnonzero(rest)
            score[others[np.argsort(-gains[others], kind="stable")]] = np.arange(left)[::-1]
            break
        best = int(np.where(rest, gains, -np.inf).argmax())
        score[best], rest[best] = left - 1, False
        unexplained -= gains[best]
        for search in searches:
            search.choose(best)
    return score / filters


class _Search:
    """A consumer in a search: R, the covariance of u given what is chosen, and M = R Wᵀ W R.

    A channel lessens tr(W R Wᵀ) by tr((R_cc + ρI)⁻¹ M_cc). With L Lᵀ = R_cc + ρI, choosing it takes pᵀp off
    R and qᵀp + pᵀq off M: p = L⁻¹ R_c:, q = L⁻¹ (M_c: − ½ M_cc L⁻ᵀ p).
    """

    def __init__(self, consumer: ConsumerEvidence, filters: int) -> None:
        import torch

        patches, weights = (each.double() for each in by_filter(consumer, filters))
        rows = (patches - patches.mean(dim=0)).flatten(1) / len(patches) ** 0.5
        energy = output_energy(consumer, centred=True) / len(patches)
        factor = weights.flatten(1) * (energy**-0.5 if energy > 0 else 0.0)
        # Only traces of W R Wᵀ are asked for: outputs may be rotated, and so be as few as columns or samples.
        factor = torch.linalg.qr(factor).R if len(factor) > factor.shape[1] else factor
        made = factor @ rows.T
        self.unexplained = float(made.square().sum())
        """tr(W R Wᵀ) at the start, as a share of the variance of all outputs."""
        made = torch.linalg.qr(made).R if len(made) > made.shape[1] else made
        self._factors = (rows, made @ rows)
        """U (S, C) and W C (N', C): C = Uᵀ U, and M = (W C)ᵀ W C at the start."""
        self._columns = patches.shape[2]
        self.most = max(1, len(rows) // (2 * self._columns))
        """So many channels have half as many columns as there are samples."""
        mean = float(rows.square().sum()) / max(1, int((consumer.owner >= 0).sum()))
        # Where nothing varies, any ridge will do.
        self._ridge = torch.eye(self._columns, dtype=rows.dtype, device=rows.device) * (RIDGE * mean or 1.0)
        size = rows.shape[1]
        self._held = [each.T @ each for each in self._factors] if size <= HELD_COLUMNS else None
        """R and M without what is collected."""
        room = COLLECTED if self._held else len(rows)
        self._along, self._cross = (rows.new_empty(room + self._columns, size) for _ in range(2))
        """The rows p and q of the channels chosen since."""
        self._collected = 0
        blocks = (each.T.reshape(filters, self._columns, -1) for each in self._factors)
        self._own = [block @ block.mT for block in blocks]
        """R_cc and M_cc of every channel: (F, k, k)."""

    def gains(self) -> Floats:
        """(F,): by how much each channel would lessen what is unexplained."""
        import numpy as np
        import torch

        covariance, squares = self._own
        if self._columns == 1:
            gains = (squares / (covariance + self._ridge)).flatten()
        else:
            gains = torch.linalg.solve(covariance + self._ridge, squares).diagonal(dim1=1, dim2=2).sum(dim=1)
        return np.asarray(gains.cpu().numpy(), dtype=np.float64)

    def choose(self, channel: int) -> None:
        """Take a channel's part off R and M."""
        import torch

        own = slice(channel * self._columns, (channel + 1) * self._columns)
        along, cross = self._rows(own)
        lower = torch.linalg.cholesky(along[:, own] + self._ridge)
        towards = torch.linalg.solve_triangular(lower, cross[:, own], upper=False)
        along = torch.linalg.solve_triangular(lower, along, upper=False)
        cross = torch.linalg.solve_triangular(lower, cross, upper=False)
        towards = torch.linalg.solve_triangular(lower, towards.T, upper=False)
        cross = torch.addmm(cross, towards, along, alpha=-0.5)
        covariance, squares = self._own
        p, q = (each.T.reshape(len(covariance), self._columns, self._columns) for each in (along, cross))
        both = p @ q.mT
        covariance -= p @ p.mT
        squares -= both + both.mT
        self._collect(along, cross)

    def _rows(self, own: slice) -> tuple[Tensor, Tensor]:
        """R_c: and M_c:, (k, C)."""
        if self._held is None:
            start = [each[:, own].T @ each for each in self._factors]
        else:
            start = [each[own] for each in self._held]
        p, q = self._along[: self._collected], self._cross[: self._collected]
        covariance = start[0] - p[:, own].T @ p
        return covariance, start[1] - q[:, own].T @ p - p[:, own].T @ q

    def _collect(self, along: Tensor, cross: Tensor) -> None:
        until = self._collected + self._columns
        self._along[self._collected : until] = along
        self._cross[self._collected : until] = cross
        self._collected = until
        if self._held is not None and until >= COLLECTED:
            p, q = self._along[:until], self._cross[:until]
            covariance, squares = self._held
            covariance.addmm_(p.T, p, alpha=-1)
            squares.addmm_(p.T, q, alpha=-1).addmm_(q.T, p, alpha=-1)
            self._collected = 0
