"""Contrast inside a layer against hand arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.applicability import applicability, contrast


def test_spread_and_gap_are_relative_to_the_mean():
    found = contrast(np.array([4.0, 1.0, 2.0, 5.0]), ratio=0.5)
    assert found.cv == pytest.approx(2.5**0.5 / 3)
    assert found.gap == pytest.approx((4 - 2) / 3)


def test_negative_scores_have_a_positive_spread():
    assert contrast(np.array([-1.0, -3.0]), ratio=0.5).cv == pytest.approx(0.5)
    assert contrast(np.array([-1.0, -3.0]), ratio=0.5).gap == pytest.approx(1.0)


def test_equal_scores_have_no_spread_and_zeros_have_no_scale():
    assert contrast(np.full(4, 2.0), ratio=0.5) == contrast(np.full(6, 3.0), ratio=0.5)
    assert contrast(np.full(4, 2.0), ratio=0.5).cv == 0
    assert contrast(np.zeros(4), ratio=0.5).cv is None


def test_no_gap_when_nothing_goes():
    assert contrast(np.array([1.0, 2.0]), ratio=0.3).gap is None


def test_the_average_skips_layers_without_the_criterion():
    scores = {
        "one": {"bn_gamma": np.array([1.0, 3.0])},
        "two": {"bn_gamma": None},
        "three": {"bn_gamma": np.array([1.0, 1.0])},
    }
    found = applicability(scores, criterion="bn_gamma", ratio=0.5)
    assert found.cv == pytest.approx(0.25)
    assert found.document() == {
        "criterion": "bn_gamma",
        "layers": [
            {"name": "one", "cv": 0.5, "gap": 1.0},
            {"name": "two", "cv": None, "gap": None},
            {"name": "three", "cv": 0.0, "gap": 0.0},
        ],
        "cv": 0.25,
    }
