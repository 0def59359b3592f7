"""The noise floor: criteria against themselves."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.noise import noise_floor

UP = np.array([1.0, 2.0, 3.0, 4.0])
SWAPPED = np.array([2.0, 1.0, 3.0, 4.0])


def test_a_criterion_against_itself_layer_by_layer():
    scores = {"one": {"taylor_act": UP}, "two": {"taylor_act": UP}, "three": {"taylor_act": None}}
    again = {"one": {"taylor_act": SWAPPED}, "two": {"taylor_act": -UP}, "three": {"taylor_act": None}}
    (found,) = noise_floor(scores, again, criteria=["taylor_act"], ratios=[0.5], p=0.5)
    assert not found.exact
    assert found.document() == {
        "criterion": "taylor_act",
        "exact": False,
        "spearman": pytest.approx((0.8 - 1) / 2),
        "kendall": pytest.approx((4 / 6 - 1) / 2),
        "jaccard": {"0.5": 0.5},
        # Reversed: X = 0, 0, 2, 4; 1/16 + 2/3 · 1/8 + 1/16.
        "rbo": pytest.approx((0.5 + 5 / 24) / 2),
        "layers": [
            {
                "name": "one",
                "spearman": pytest.approx(0.8),
                "kendall": pytest.approx(4 / 6),
                "jaccard": {"0.5": 1.0},
                "rbo": pytest.approx(0.5),
            },
            {
                "name": "two",
                "spearman": pytest.approx(-1),
                "kendall": pytest.approx(-1),
                "jaccard": {"0.5": 0.0},
                "rbo": pytest.approx(5 / 24),
            },
            {"name": "three", "spearman": None, "kendall": None, "jaccard": {"0.5": None}, "rbo": None},
        ],
    }


def test_what_cannot_change_is_exact():
    scores = {"one": {"l1": UP, "l2": UP}, "two": {"l1": np.ones(4), "l2": UP}}
    # l1 was not scored again; l2 was, and came out the same.
    again = {"one": {"l2": UP.copy()}, "two": {"l2": UP.copy()}}
    first, second = noise_floor(scores, again, criteria=["l1", "l2"], ratios=[0.5])
    assert first.exact
    assert second.exact
    assert first.average.spearman == pytest.approx(1)
    assert first.average.rbo == pytest.approx(1)
    assert first.layers["two"].spearman is None  # a constant is no ranking, however often


def test_a_layer_that_only_one_scoring_has_is_not_exact():
    scores = {"one": {"apoz": UP}, "two": {"apoz": UP}}
    again = {"one": {"apoz": UP}, "two": {"apoz": None}}
    (found,) = noise_floor(scores, again, criteria=["apoz"], ratios=[0.5])
    assert not found.exact
    assert found.layers["two"].spearman is None


def test_two_scorings_of_different_layers_are_refused():
    with pytest.raises(ValueError, match="l1 scores 4 units in one, then 3"):
        noise_floor({"one": {"l1": UP}}, {"one": {"l1": UP[:3]}}, criteria=["l1"], ratios=[0.5])
