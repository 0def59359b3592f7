"""Bootstrap intervals of a mean over layers against scipy's, and where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy
from packaging.version import Version
from scipy import stats

from prunecli.analysis.intervals import bootstrap_means


def test_the_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).normal(0.8, 0.1, size=30)
    low, high = bootstrap_means(values[:, None])[:, 0]
    # By keyword it is `rng` since scipy 1.15, and was `random_state` before.
    generator = {"rng" if Version(scipy.__version__) >= Version("1.15") else "random_state": 1}
    given = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", **generator
    ).confidence_interval
    # The quantile of 2000 resamples errs by about 0.001 here.
    assert (low, high) == pytest.approx((given.low, given.high), abs=0.004)


def test_95_in_100_intervals_hold_the_mean_or_somewhat_fewer():
    # Of 20 normal numbers, percentile intervals hold the mean in about 93 of 100.
    values = np.random.default_rng(2).normal(size=(20, 2000))
    low, high = bootstrap_means(values)
    assert 0.90 < np.mean((low <= 0) & (high >= 0)) < 0.96


def test_layers_without_the_figure_are_not_drawn():
    values = np.array([0.1, np.nan, 0.4, 0.9, np.nan])
    known = values[~np.isnan(values)]
    assert bootstrap_means(values[:, None]) == pytest.approx(bootstrap_means(known[:, None]))


def test_a_column_does_not_depend_on_the_others():
    values = np.random.default_rng(4).normal(size=(8, 5))
    values[2, 1] = values[3, 3] = np.nan
    together = bootstrap_means(values, seed=7)
    for column in range(5):
        alone = bootstrap_means(values[:, [column]], seed=7)
        assert together[:, [column]] == pytest.approx(alone, abs=1e-12)


def test_fewer_than_three_layers_have_no_interval():
    warnings.simplefilter("error")
    nan = np.nan
    values = np.array([[1.0, 1.0, nan], [0.0, 0.0, nan], [nan, 0.5, nan]])
    low, high = bootstrap_means(values)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, True]
    assert bootstrap_means(np.empty((0, 2))).shape == (2, 2)


def test_equal_layers_leave_no_doubt_and_a_seed_decides():
    assert bootstrap_means(np.full((7, 1), 0.3)).tolist() == [[0.3], [0.3]]
    values = np.random.default_rng(5).normal(size=(6, 1))
    assert bootstrap_means(values, seed=1).tolist() == bootstrap_means(values, seed=1).tolist()
    assert bootstrap_means(values, seed=1).tolist() != bootstrap_means(values, seed=2).tolist()
