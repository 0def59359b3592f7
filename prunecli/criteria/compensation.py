"""A criterion that asks which channels explain the outputs of the next layers, making up for the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunecli.criteria.consumers import REMEMBERED, Consumers, Floats, as_scores, by_filter, consumers_of
from prunecli.criteria.consumers import output_energy as total_energy
from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.evidence import ConsumerEvidence

if TYPE_CHECKING:
    from torch import Tensor

# What is added to a covariance's diagonal, as a share of its mean.
RIDGE = 1e-6
# When less than this share of the outputs is unexplained, the samples have nothing more to tell.
UNEXPLAINED = 1e-6
# Columns of the channels among which a search goes on before all others are looked at again.
NEAR_COLUMNS = 512
# Columns of a consumer whose covariance is held as a whole: 32 MiB of float64.
HELD_COLUMNS = 2048

Channels = NDArray[np.intp]


@criterion("cap", needs=Needs.CONSUMERS, source="Xie et al. 2021, arXiv:2108.13728", zero_is_lowest=True)
def selection_order(evidence: Evidence) -> Tensor:
    """When a channel is chosen if always the one comes next that explains most of the next layers' outputs.

    score_f = (how many are chosen after f) / F,
    next: argmax_c tr(W C_:S (C_SS + ρI)⁻¹ C_S: Wᵀ), S = chosen ∪ c, C = cov(u)               (S, C) → (F,)

    Chosen channels make up for the others by least squares; ρ is 1e-6 of the mean variance. When 1e-6 of the
    variance is unexplained, or as many columns are chosen as there are samples, the samples have nothing more
    to tell, and the other channels follow by what each alone would add.
    """
    return as_scores(_selection_order(consumers_of(evidence), len(evidence.weight)), evidence)


@lru_cache(maxsize=REMEMBERED)
def _selection_order(consumers: Consumers, filters: int) -> Floats:
    searches = [_Search(each, filters) for each in consumers]
    goal = _Goal(sum(search.unexplained for search in searches), max(search.most for search in searches))
    near = max(2, NEAR_COLUMNS // max(search.columns for search in searches))
    score, rest = np.empty(filters), np.arange(filters)
    while True:
        gains = np.sum([search.gains() for search in searches], axis=0)
        rest = rest[np.argsort(-gains[rest], kind="stable")]
        if goal.reached or not rest.size:
            score[rest] = np.arange(rest.size)[::-1]
            return score / filters
        # What is not near gains less, and seldom gains more once another channel is chosen (Minoux 1978).
        beyond = gains[rest[near]] if rest.size > near else -np.inf
        chosen = _chosen_among(searches, rest[:near], beyond=beyond, goal=goal)
        score[chosen] = rest.size - 1 - np.arange(chosen.size)
        rest = np.setdiff1d(rest, chosen)
        for search in searches:
            search.choose(chosen)


class _Goal:
    """How far a search has to go."""

    def __init__(self, unexplained: float, most: int) -> None:
        self._unexplained = unexplained
        self._enough = UNEXPLAINED * unexplained
        self._more = most

    @property
    def reached(self) -> bool:
        return self._unexplained <= self._enough or self._more <= 0

    def approach(self, gain: float) -> None:
        """Another channel was chosen."""
        self._unexplained -= gain
        self._more -= 1


def _chosen_among(searches: Sequence[_Search], near: Channels, *, beyond: float, goal: _Goal) -> Channels:
    """The channels that come next, in their order: at least one, while the best gains more than `beyond`."""
    neighbourhoods = [search.among(near) for search in searches]
    chosen: list[int] = []
    while len(chosen) < near.size and not goal.reached:
        gains = np.sum([each.gains() for each in neighbourhoods], axis=0)
        gains[chosen] = -np.inf
        best = int(gains.argmax())
        if chosen and gains[best] < beyond:
            break
        goal.approach(float(gains[best]))
        chosen.append(best)
        for each in neighbourhoods:
            each.choose(best)
    return near[chosen]


class _Neighbourhood:
    """Some channels of a consumer, with R, the covariance of u given what is chosen, and W R."""

    def __init__(self, covariance: Tensor, explained: Tensor, ridge: Tensor) -> None:
        self._covariance, self._explained, self._ridge = covariance, explained, ridge

    def gains(self) -> Floats:
        """By how much each channel would lessen tr(W R Wᵀ)."""
        columns = len(self._ridge)
        products = self._explained.T.reshape(-1, columns, len(self._explained))
        count = len(products)
        own = self._covariance.reshape(count, columns, count, columns).diagonal(dim1=0, dim2=2)
        return _gains(own.movedim(-1, 0) + self._ridge, products @ products.mT)

    def choose(self, place: int) -> None:
        """Take off R and W R what is explained by a channel."""
        import torch

        columns = len(self._ridge)
        own = slice(place * columns, (place + 1) * columns)
        lower = torch.linalg.cholesky(self._covariance[own, own] + self._ridge)
        along = torch.linalg.solve_triangular(lower, self._covariance[own], upper=False)
        towards = torch.linalg.solve_triangular(lower, self._explained[:, own].T, upper=False)
        self._covariance.addmm_(along.T, along, alpha=-1)
        self._explained.addmm_(towards.T, along, alpha=-1)


class _Search:
    """All channels of a consumer in a search, R and W R being kept as what the choices so far take off.

    R = C − Pᵀ P, where choosing S appends the rows L⁻¹ R_S: to P, L Lᵀ = R_SS + ρI.
    """

    def __init__(self, consumer: ConsumerEvidence, filters: int) -> None:
        import torch

        patches, weights = (each.double() for each in by_filter(consumer, filters))
        rows = (patches - patches.mean(dim=0)).flatten(1) / len(patches) ** 0.5
        energy = total_energy(consumer, centred=True) / len(patches)
        factor = weights.flatten(1) * (energy**-0.5 if energy > 0 else 0.0)
        # Only traces of W R Wᵀ are asked for: outputs may be rotated, and so be as few as columns or samples.
        factor = torch.linalg.qr(factor).R if len(factor) > factor.shape[1] else factor
        made = factor @ rows.T
        made = torch.linalg.qr(made).R if len(made) > made.shape[1] else made
        self.columns = patches.shape[2]
        self.most = -(-len(rows) // self.columns)
        """So many channels have as many columns as there are samples."""
        mean = float(rows.square().sum()) / max(1, int((consumer.owner >= 0).sum()))
        # Where nothing varies, any ridge will do.
        self._ridge = torch.eye(self.columns, dtype=rows.dtype, device=rows.device) * (RIDGE * mean or 1.0)
        self.unexplained = float(made.square().sum())
        """tr(W C Wᵀ) as a share of the variance of all outputs."""
        self._rows = rows
        self._held = rows.T @ rows if rows.shape[1] <= HELD_COLUMNS else None
        self._explained = made @ rows
        """W C, (N', C)."""
        self._basis = rows.new_empty(0, rows.shape[1])
        """P, (columns chosen, C)."""
        self._outputs = rows.new_empty(0, len(made))
        """(columns chosen, N'): W R = W C − this P."""
        blocks, products = (each.T.reshape(filters, self.columns, -1) for each in (rows, self._explained))
        self._own = blocks @ blocks.mT
        """R_cc of every channel, (F, k, k)."""
        self._squares = products @ products.mT
        """(W R)_cᵀ (W R)_c of every channel, (F, k, k)."""

    def gains(self) -> Floats:
        """(F,): by how much each channel would lessen what is unexplained."""
        return _gains(self._own + self._ridge, self._squares)

    def among(self, channels: Channels) -> _Neighbourhood:
        """What is known of some channels by now."""
        at = self._places(channels)
        basis = self._basis[:, at]
        covariance = self._covariance(at)[:, at] - basis.T @ basis
        return _Neighbourhood(covariance, self._explained[:, at] - self._outputs.T @ basis, self._ridge)

    def choose(self, channels: Channels) -> None:
        """Take the channels' part off what is unexplained."""
        import torch

        at = self._places(channels)
        known = self._basis[:, at].T
        rows = self._covariance(at)
        ridge = torch.eye(len(at), dtype=rows.dtype, device=rows.device) * self._ridge[0, 0]
        lower = torch.linalg.cholesky(rows[:, at] - known @ known.T + ridge)
        towards = self._explained[:, at].T - known @ self._outputs
        towards = torch.linalg.solve_triangular(lower, towards, upper=False)
        covered = torch.cat([known, towards @ self._outputs.T]) @ self._basis
        along = torch.linalg.solve_triangular(lower, rows - covered[: len(at)], upper=False)
        cross = towards @ self._explained - covered[len(at) :]
        self._basis, self._outputs = (
            torch.cat(each) for each in ((self._basis, along), (self._outputs, towards))
        )
        taken, met = (each.T.reshape(len(self._own), self.columns, -1) for each in (along, cross))
        met = met @ taken.mT
        self._squares += taken @ (towards @ towards.T) @ taken.mT - met - met.mT
        self._own -= taken @ taken.mT

    def _places(self, channels: Channels) -> Tensor:
        """Where the columns of the channels are."""
        import torch

        places = channels[:, None] * self.columns + np.arange(self.columns)
        return torch.from_numpy(places.flatten()).to(self._rows.device)

    def _covariance(self, at: Tensor) -> Tensor:
        """Rows of C."""
        return self._rows[:, at].T @ self._rows if self._held is None else self._held[at]


def _gains(own: Tensor, squares: Tensor) -> Floats:
    """tr(own⁻¹ squares) of matrices (F, k, k)."""
    import torch

    if own.shape[1] == 1:
        gains = (squares / own).flatten()
    else:
        gains = torch.linalg.solve(own, squares).diagonal(dim1=1, dim2=2).sum(dim=1)
    return np.asarray(gains.cpu().numpy(), dtype=np.float64)
