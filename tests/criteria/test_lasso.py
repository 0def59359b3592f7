"""The LASSO path against scikit-learn's and against its own conditions of optimality."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Lasso, lars_path_gram

from prunecli.criteria.lasso import entry_penalties


def problem(size, *, rank, seed=0):
    """Columns that share `rank` directions, and a target of its own: some coefficients return to zero."""
    generator = np.random.default_rng(seed)
    columns = generator.standard_normal((size + 40, rank)) @ generator.standard_normal((rank, size))
    columns += 0.3 * generator.standard_normal(columns.shape)
    return columns, generator.standard_normal(len(columns))


def by_scikit(products, target):
    """Entry penalties read off scikit-learn's path, and how many of its steps were not entries."""
    penalties, _, path = lars_path_gram(target, products, n_samples=1, max_iter=10_000, method="lasso")
    entries = np.zeros(len(target))
    for coefficient, values in enumerate(path):
        taken = np.flatnonzero(values)
        if taken.size:
            entries[coefficient] = penalties[taken[0] - 1]
    return entries, len(penalties) - 1 - len(target)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (4, 2), (30, 30), (60, 5), (150, 20)])
def test_entries_are_those_of_scikit_learn(size, rank):
    columns, outcome = problem(size, rank=rank)
    products, target = columns.T @ columns / len(columns), columns.T @ outcome / len(columns)
    expected, returns = by_scikit(products, target)
    assert returns > 0 or size < 30
    np.testing.assert_allclose(entry_penalties(products, target), expected, rtol=1e-8, atol=1e-12)


def test_a_coefficient_is_zero_above_its_entry_and_not_below():
    columns, outcome = problem(12, rank=4)
    products, target = columns.T @ columns / len(columns), columns.T @ outcome / len(columns)
    entries = entry_penalties(products, target)
    for coefficient, entry in enumerate(entries):
        for share, expected in ((1.0001, False), (0.9999, True)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = Lasso(alpha=entry * share, fit_intercept=False, tol=1e-14, max_iter=10**6)
                values = fitted.fit(columns, outcome).coef_
            assert bool(abs(values[coefficient]) > 1e-9) is expected


def test_equal_columns_enter_once_and_empty_ones_never():
    columns, _ = problem(5, rank=5)
    columns = np.hstack([columns, columns[:, :1], np.zeros((len(columns), 1))])
    products = columns.T @ columns / len(columns)
    entries = entry_penalties(products, products.sum(axis=1))
    without = products[:5, :5] + 0.0
    target = without.sum(axis=1) + products[:5, 5]
    np.testing.assert_allclose(
        np.maximum(entries[:5], entries[[5, 1, 2, 3, 4]]), entry_penalties(without, target)
    )
    assert min(entries[0], entries[5]) == 0
    assert entries[6] == 0


def test_near_copies_are_taken_for_copies():
    columns, outcome = problem(8, rank=8)
    near = np.hstack([columns, columns + 1e-8 * columns[::-1]])
    products, target = near.T @ near / len(near), near.T @ outcome / len(near)
    entries = entry_penalties(products, target)
    alone = entry_penalties(products[:8, :8], target[:8])
    np.testing.assert_allclose(np.maximum(entries[:8], entries[8:]), alone, rtol=1e-5)


def test_nothing_to_explain():
    assert entry_penalties(np.zeros((3, 3)), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert entry_penalties(np.eye(3), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
