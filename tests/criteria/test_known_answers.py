"""Independent Gaussian filters: how alike criteria rank them, and how little their scores vary.

The figures are means over 20 seeds, measured independently of this package; a mean has an error of its own,
which the tolerance covers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from prunecli.criteria.contract import CRITERIA, Evidence

SEEDS = 20
NAMES = ("l1", "l2", "linf", "fpgm", "fermat", "cosine")
PAIRS = (("l1", "l2"), ("l2", "fpgm"), ("fpgm", "fermat"), ("l1", "fpgm"), ("l2", "linf"))
# (filters, weights) → Spearman of the pairs, coefficient of variation of l2 and of fpgm
TABLE = {
    (16, 144): (0.886, 0.897, 0.998, 0.816, 0.366, 0.054, 0.028),
    (64, 27): (0.925, 0.979, 0.999, 0.910, 0.674, 0.138, 0.069),
    (64, 144): (0.917, 0.977, 1.000, 0.898, 0.421, 0.058, 0.029),
    (64, 576): (0.920, 0.978, 1.000, 0.906, 0.329, 0.029, 0.015),
    (128, 1152): (0.927, 0.990, 1.000, 0.918, 0.274, 0.021, 0.010),
    (256, 2304): (0.930, 0.995, 1.000, 0.927, 0.177, 0.015, 0.0075),
}


def scored(filters, weights, seed, *, scaled=False):
    generator = torch.Generator().manual_seed(1000 + seed)
    rows = torch.randn(filters, weights, generator=generator)
    if scaled:
        rows *= 0.5 + torch.rand(filters, 1, generator=generator)
    evidence = Evidence(layer="conv", weight=rows, kernel_shape=(filters, weights))
    return {name: CRITERIA[name].function(evidence).double().numpy() for name in NAMES}


def correlation(runs, a, b):
    return float(np.mean([spearmanr(run[a], run[b]).statistic for run in runs]))


def variation(runs, name):
    return float(np.mean([run[name].std() / run[name].mean() for run in runs]))


@pytest.mark.parametrize("size", TABLE, ids=lambda size: "x".join(map(str, size)))
def test_the_table_of_gaussian_filters(size):
    filters, _ = size
    runs = [scored(*size, seed) for seed in range(SEEDS)]
    *pairs, l2, fpgm = TABLE[size]
    # The deviation of one Spearman is about (1 − ρ²) / √N; two means of 20 differ by √(2 / 20) of it.
    for (a, b), expected in zip(PAIRS, pairs, strict=True):
        error = (1.1 - expected**2) / np.sqrt(filters) * np.sqrt(2 / SEEDS)
        assert correlation(runs, a, b) == pytest.approx(expected, abs=4 * error), (a, b)
    assert variation(runs, "l2") == pytest.approx(l2, rel=0.12)
    assert variation(runs, "fpgm") == pytest.approx(fpgm, rel=0.12)


def test_the_published_bounds_of_64_filters_of_144_weights():
    runs = [scored(64, 144, seed) for seed in range(SEEDS)]
    assert correlation(runs, "l1", "l2") == pytest.approx(0.924, abs=0.03)
    assert min(spearmanr(run["fpgm"], run["fermat"]).statistic for run in runs) > 0.99
    # With one degree of freedom taken for the mean, as the figure was measured.
    assert variation(runs, "l2") * np.sqrt(64 / 63) == pytest.approx(0.0585, abs=0.005)


def test_filters_of_different_size_make_all_norms_agree():
    runs = [scored(64, 144, seed, scaled=True) for seed in range(SEEDS)]
    assert correlation(runs, "l1", "l2") >= 0.984
    assert correlation(runs, "l2", "fpgm") >= 0.990
    assert 0.90 <= correlation(runs, "l2", "linf") <= 0.97
    assert variation(runs, "l2") == pytest.approx(0.29, abs=0.02)
    assert variation(runs, "fpgm") == pytest.approx(0.14, abs=0.015)


def test_angles_know_nothing_of_lengths():
    runs = [scored(64, 144, seed) for seed in range(SEEDS)]
    assert abs(correlation(runs, "cosine", "l2")) < 0.05
