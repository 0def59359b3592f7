"""The number and the order of what is removed."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.scoring.ranking import removal_order, removed_count, removed_set


@pytest.mark.parametrize(
    ("ratio", "units", "count"),
    [(0.5, 7, 3), (0.4, 16, 6), (0.29, 100, 29), (0.57, 100, 57), (0.7, 10, 7), (0.1, 9, 0), (0.3, 10, 3)],
)
def test_the_count_is_the_floor_of_the_written_ratio(ratio, units, count):
    assert removed_count(ratio, units=units) == count


def test_the_lowest_go_first_and_ties_go_by_index():
    scores = np.array([2.0, 1.0, 2.0, 1.0, 0.5])
    assert removal_order(scores).tolist() == [4, 1, 3, 0, 2]
    assert removed_set(scores, ratio=0.4) == {4, 1}
    assert removed_set(np.zeros(40), ratio=0.5) == set(range(20))
