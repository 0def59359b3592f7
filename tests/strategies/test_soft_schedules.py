"""The printed values of the schedules."""

from __future__ import annotations

import pytest

from prunecli.strategies.soft_schedules import asymptotic, constant, cubic, decay


@pytest.mark.parametrize(
    ("t", "value"), [(0, 0), (5, 0.097), (12, 0.194), (25, 0.300), (50, 0.375), (100, 0.398)]
)
def test_the_asymptotic_ratio_of_asfp(t, value):
    assert 0.4 * asymptotic(t, 200) == pytest.approx(value, abs=6e-4)


def test_the_asymptotic_ratio_is_reached():
    assert asymptotic(190, 200) == 1


@pytest.mark.parametrize(
    ("t", "value"), [(0, 0.015), (5, 0.087), (25, 0.342), (50, 0.587), (100, 0.879), (180, 0.999)]
)
def test_the_cubic_hardness_of_ghfp(t, value):
    assert cubic(t, 200) == pytest.approx(value, abs=6e-4)
    assert cubic(199, 200) == 1


@pytest.mark.parametrize(
    ("t", "value"), [(0, 1), (10, 0.562), (25, 0.237), (50, 0.056), (100, 0.0032), (180, 0)]
)
def test_the_decaying_alpha_of_srfp(t, value):
    assert decay(1.0)(t, 200) == pytest.approx(value, abs=6e-4)


def test_a_constant():
    assert constant(0.3)(7, 9) == 0.3
