"""The weight-distribution assumption, tested layer by layer (CWDA, Huang et al. 2021, arXiv:2004.11627).

The filters of a layer are Gaussian-alike: their weights are normal, each coordinate has about the same
variance, and the mean is near zero. Where that holds, norms and distances rank filters alike, and hardly tell
them apart. F filters, K weights a filter. A large enough layer fails every test, so that each verdict needs
an effect size; with few weights (K < 30) a test sees only gross departures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

Matrix = NDArray[np.float64]

LEVEL = 0.05
"""Of the normality test: a filter of normal weights fails it once in twenty."""
TESTED = 512
"""Weights of a filter that are tested at most, so that a share means the same in narrow and wide layers."""
FEW = 20
"""Below so many weights the omnibus test's distribution is off, and Shapiro and Wilk's is taken."""
NORMAL_SHARE = 0.8
DEPARTURE = 0.5
"""|skew| or |excess kurtosis| that counts, of the median filter: 512 weights show it every other time."""
UNEQUAL = 0.3
"""Coordinates' variances that differ by 30 % (one standard deviation) beyond what sampling explains."""
OFF_ZERO = 0.3
"""|μ|/σ: filters then have a direction in common, with a mean cosine of 0.3² / (1 + 0.3²) = 0.08."""
HOLDS = "holds"
NO_VERDICT = "no test"
_BLOCK = 4_000_000  # weights held at once in double precision


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """What the tests read of a layer."""

    name: str
    weight: Tensor
    """(F, K): one row a filter."""
    kernel_shape: tuple[int, ...]
    """(F, C / groups, *kernel); (F, C) for a linear layer."""
    first: bool = False
    """The layer reads the network's input."""
    depthwise: bool = False
    """Each filter reads one channel of its own."""

    @property
    def outside(self) -> str | None:
        """The kind of layer that the assumption does not speak of, None when it does."""
        if self.first:
            return "first layer"
        if self.depthwise:
            return "depthwise"
        if len(self.kernel_shape) < 3:
            return "linear"
        return "1x1" if math.prod(self.kernel_shape[2:]) == 1 else None


@dataclass(frozen=True)
class LayerDistribution:
    """The tests of one layer; None is what its weights are too few, too equal or not finite for."""

    name: str
    filters: int
    dimension: int
    """K."""
    normal_share: float | None
    """Share of the filters whose weights pass a test of normality at 5 %; 0.95 when all are normal."""
    mean_over_std: float | None
    """|μ|/σ over all weights."""
    variance_cv: float | None
    """Standard deviation ÷ mean over coordinates of a coordinate's variance across filters."""
    variance_cv_expected: float | None
    """What sampling alone gives for equal variances of normal weights: √(2/(F − 1))."""
    variance_cv_excess: float | None
    """What is left of `variance_cv` when sampling, at the weights' own kurtosis, is taken out."""
    skew: float | None
    """Median over filters."""
    abs_skew: float | None
    """Median over filters of |skew|: filters may lean to either side."""
    excess_kurtosis: float | None
    """Median over filters; 0 for normal weights, −1.2 for uniform, 3 for Laplace."""
    verdict: str

    def document(self) -> dict[str, Any]:
        """The JSON of one layer."""
        return asdict(self)


@dataclass(frozen=True)
class _Moments:
    """|μ|/σ over all weights, and medians over filters."""

    mean_over_std: float | None = None
    skew: float | None = None
    abs_skew: float | None = None
    excess_kurtosis: float | None = None


@dataclass(frozen=True)
class _Coordinates:
    """Variances across filters: their spread, and how much of it sampling explains."""

    cv: float
    excess: float
    significant: bool


def weight_distributions(layers: Iterable[LayerWeights]) -> tuple[LayerDistribution, ...]:
    """The tests of every layer, also of those outside the assumption, whose verdict says so."""
    return tuple(weight_distribution(layer) for layer in layers)


def weight_distribution(layer: LayerWeights) -> LayerDistribution:
    """The tests of one layer.

    normal:  D'Agostino and Pearson's K² (skew and kurtosis; right for an estimated mean and deviation) on at
             most 512 of a filter's weights, the same for all filters; below 20 weights Shapiro and Wilk's W.
    equal:   CV² of the variances v_k against e² = 2/(F − 1) + γ/F, γ the excess kurtosis inside coordinates;
             excess = √((CV² − e²) / (1 + e²)).
    """
    weight = layer.weight.detach().cpu()
    filters, dimension = weight.shape
    usable = weight if bool(weight.isfinite().all()) else weight[:0]
    passed, tested = _normality(usable)
    moments = _moments(usable)
    coordinates = _coordinates(usable)
    share = passed / tested if tested else None
    return LayerDistribution(
        name=layer.name,
        filters=filters,
        dimension=dimension,
        normal_share=share,
        mean_over_std=moments.mean_over_std,
        variance_cv=coordinates.cv if coordinates else None,
        variance_cv_expected=math.sqrt(2 / (filters - 1)) if filters > 1 else None,
        variance_cv_excess=coordinates.excess if coordinates else None,
        skew=moments.skew,
        abs_skew=moments.abs_skew,
        excess_kurtosis=moments.excess_kurtosis,
        verdict=f"outside the assumption: {layer.outside}"
        if layer.outside
        else _verdict(passed, tested, moments, coordinates),
    )


def distribution_remarks(layers: Sequence[LayerDistribution]) -> tuple[str, ...]:
    """In words: in how many of the layers it speaks of the assumption holds, and what fails elsewhere."""
    covered = [layer for layer in layers if not layer.verdict.startswith("outside")]
    if not covered:
        return ("the weight-distribution assumption speaks of none of these layers",) if layers else ()
    holds = sum(layer.verdict == HOLDS for layer in covered)
    failing = [
        f"{count} {reason}"
        for reason in ("not normal", "unequal variances", "mean off zero", NO_VERDICT)
        if (count := sum(reason in layer.verdict for layer in covered))
    ]
    says = f"the weight-distribution assumption holds in {holds} of the {len(covered)} layers it speaks of"
    return (f"{says} ({', '.join(failing)})" if failing else says,)


def _verdict(passed: int, tested: int, moments: _Moments, coordinates: _Coordinates | None) -> str:
    centre, skew, kurtosis = moments.mean_over_std, moments.abs_skew, moments.excess_kurtosis
    if not tested or coordinates is None or centre is None or skew is None or kurtosis is None:
        return NO_VERDICT
    reasons = []
    share = passed / tested
    # A handful of filters may fall below the share by chance; normal ones do so once in a thousand.
    few_pass = share < NORMAL_SHARE and stats.binom.cdf(passed, tested, 1 - LEVEL) < 0.001
    if few_pass and max(skew, abs(kurtosis)) > DEPARTURE:
        reasons.append(
            f"not normal ({share:.0%} of filters pass, |skew| {skew:.2f}, excess kurtosis {kurtosis:.2f})"
        )
    if coordinates.excess > UNEQUAL and coordinates.significant:
        reasons.append(
            f"unequal variances (CV {coordinates.cv:.2f}, {coordinates.excess:.2f} beyond sampling)"
        )
    if centre > OFF_ZERO:
        reasons.append(f"mean off zero (|μ|/σ {centre:.2f})")
    return "; ".join(reasons) or HOLDS


def _normality(weight: Tensor) -> tuple[int, int]:
    """How many filters pass, of how many whose weights are not all the same."""
    dimension = weight.shape[1]
    if dimension < 3:
        return 0, 0
    chosen = np.sort(np.random.default_rng(0).permutation(dimension)[:TESTED])
    rows = weight[:, chosen].double().numpy()
    spread = rows.std(axis=1)
    rows = rows[spread > 1e-9 * np.abs(rows).max(axis=1)]
    if not len(rows):
        return 0, 0
    if dimension < FEW:
        probabilities = np.array([stats.shapiro(row).pvalue for row in rows])
    else:
        probabilities = stats.normaltest(rows, axis=1).pvalue
    return int((probabilities > LEVEL).sum()), len(rows)


def _moments(weight: Tensor) -> _Moments:
    if not weight.numel():
        return _Moments()
    parts = [_row_moments(rows.double().numpy()) for rows in torch.split(weight, _rows(weight.shape[1]))]
    mean, variance, third, fourth = np.concatenate(parts, axis=1)
    total = float(variance.mean() + mean.var())
    centre = abs(float(mean.mean())) / math.sqrt(total) if total > 0 else None
    varied = variance > 0
    if not varied.any():
        return _Moments(centre)
    skew = third[varied] / variance[varied] ** 1.5
    kurtosis = fourth[varied] / variance[varied] ** 2 - 3
    return _Moments(
        centre, float(np.median(skew)), float(np.median(np.abs(skew))), float(np.median(kurtosis))
    )


def _row_moments(rows: Matrix) -> Matrix:
    """(F, K) → (4, F): mean, and central moments of order 2, 3 and 4."""
    mean = rows.mean(axis=1)
    centred = rows - mean[:, None]
    square = centred * centred
    return np.stack(
        [
            mean,
            square.mean(axis=1),
            (square * centred).mean(axis=1),
            np.einsum("fk,fk->f", square, square) / rows.shape[1],
        ]
    )


def _coordinates(weight: Tensor) -> _Coordinates | None:
    """The variances across filters of the coordinates; None for fewer than two of either."""
    filters, dimension = weight.shape
    if filters < 2 or dimension < 2:
        return None
    parts = [
        _column_moments(columns.double().numpy()) for columns in torch.split(weight, _rows(filters), dim=1)
    ]
    variance, fourth = np.concatenate(parts, axis=1)
    if not variance.mean() > 0:
        return None
    cv = float(variance.std() / variance.mean())
    sampling = max(0.0, 2 / (filters - 1) + _excess_kurtosis(variance, fourth, filters) / filters)
    beyond = cv**2 - sampling
    # Of the variance of K such variances, each a χ² with F − 1 degrees of freedom, and of γ's estimate.
    spread = sampling**2 * (2 + 12 / (filters - 1)) + _cumulant_variance(filters) / filters**2
    error = math.sqrt(spread / dimension)
    return _Coordinates(
        cv=cv,
        excess=math.sqrt(max(0.0, beyond) / (1 + sampling)),
        significant=beyond > 3 * error,
    )


def _excess_kurtosis(variance: Matrix, fourth: Matrix, count: int) -> float:
    """γ common to columns of `count` numbers each, which may differ in scale.

    Σ κ₄ ÷ Σ σ⁴ with unbiased estimates of both: single columns are too short to estimate the ratio.
    """
    if count < 4:
        return 0.0
    n = float(count)
    cumulant = n**2 * ((n + 1) * fourth - 3 * (n - 1) * variance**2) / ((n - 1) * (n - 2) * (n - 3))
    squared = ((variance * n / (n - 1)) ** 2 - cumulant / n) * (n - 1) / (n + 1)
    total = float(squared.sum())
    return float(cumulant.sum()) / total if total > 0 else 0.0


def _cumulant_variance(count: int) -> float:
    """The variance of the unbiased fourth cumulant of `count` standard normal numbers."""
    n = float(count)
    return 24 * n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) if count > 3 else 0.0


def _column_moments(columns: Matrix) -> Matrix:
    """(F, K) → (2, K): the variance and the fourth central moment across filters."""
    square = (columns - columns.mean(axis=0)) ** 2
    return np.stack([square.mean(axis=0), np.einsum("fk,fk->k", square, square) / len(columns)])


def _rows(length: int) -> int:
    return max(1, _BLOCK // max(1, length))
