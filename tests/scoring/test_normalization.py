"""Scores for each MAC saved."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.scoring.normalization import ALL_NORMALIZATIONS, NORMALIZATIONS, PER_MAC, normalise_scores

SCORES = np.array([6.0, 2.0, -4.0])


def test_per_mac_divides_by_the_cost():
    assert normalise_scores(SCORES, PER_MAC, cost=4.0).tolist() == [1.5, 0.5, -1.0]


@pytest.mark.parametrize("cost", [None, 0.0, -1.0, float("nan")])
def test_per_mac_without_a_positive_cost_is_refused(cost):
    with pytest.raises(ValueError, match="per-MAC needs a positive cost"):
        normalise_scores(SCORES, PER_MAC, cost=cost)


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_the_others_do_not_read_the_cost(how):
    assert normalise_scores(SCORES, how, cost=4.0).tolist() == normalise_scores(SCORES, how).tolist()


def test_what_needs_a_cost_is_listed_apart():
    assert PER_MAC not in NORMALIZATIONS
    assert (*NORMALIZATIONS, PER_MAC) == ALL_NORMALIZATIONS
