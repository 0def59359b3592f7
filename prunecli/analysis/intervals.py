"""How sure an average over layers is: percentile bootstrap intervals."""

from __future__ import annotations

import numpy as np

from prunecli.analysis.rankings import Matrix

RESAMPLES = 2000
COVERAGE = 0.95
FEWEST_LAYERS = 3


def bootstrap_means(values: Matrix, *, seed: int = 0) -> Matrix:
    """(L, n) → (2, n): where 95 % of the means of L layers drawn with replacement lie, column by column.

    NaN in `values` is a layer without the figure: only the others are drawn. NaN in the result is a column
    with fewer than three layers, whose resamples say nothing. No column's interval depends on the others.
    """
    found = np.full((2, values.shape[1]), np.nan)
    patterns, which = np.unique(~np.isnan(values), axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero(which.reshape(-1) == number)
        layers = int(rows.sum())
        if layers >= FEWEST_LAYERS:
            drawn = values[np.ix_(rows, columns)]
            found[:, columns] = np.clip(_interval(drawn, seed), drawn.min(axis=0), drawn.max(axis=0))
    return found


def _interval(values: Matrix, seed: int) -> Matrix:
    layers = len(values)
    draws = np.random.default_rng(seed).multinomial(layers, np.full(layers, 1 / layers), size=RESAMPLES)
    means = (draws / layers) @ values
    tails: Matrix = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    return tails
