"""The printed values of the schedules."""

from __future__ import annotations

import pytest

from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.hardness import constant, decay, growing
from prunecli.strategies.schedules import cubic, exponential, one_cycle, shares_in_training


@pytest.mark.parametrize(
    ("t", "value"), [(0, 0), (5, 0.097), (12, 0.194), (25, 0.300), (50, 0.375), (100, 0.398), (190, 0.4)]
)
def test_the_asymptotic_ratio_of_asfp(t, value):
    shares = shares_in_training("exponential", 0.4, BiteWishes(), points=200)
    assert 0.4 * shares[t] == pytest.approx(value, abs=6e-4)
    assert exponential(0.95) == 1


@pytest.mark.parametrize(
    ("t", "value"), [(0, 0.006), (5, 0.035), (25, 0.137), (50, 0.235), (100, 0.352), (150, 0.394), (180, 0.4)]
)
def test_the_cubic_ratio_of_ghfp(t, value):
    assert 0.4 * shares_in_training("cubic", 0.4, BiteWishes(), points=200)[t] == pytest.approx(
        value, abs=6e-4
    )


@pytest.mark.parametrize(
    ("t", "value"), [(0, 0.015), (5, 0.087), (25, 0.342), (50, 0.587), (100, 0.879), (180, 0.999)]
)
def test_the_growing_hardness_of_ghfp(t, value):
    assert growing(t, 200) == pytest.approx(value, abs=6e-4)
    assert growing(199, 200) == 1


@pytest.mark.parametrize(
    ("t", "value"), [(0, 1), (10, 0.562), (25, 0.237), (50, 0.056), (100, 0.0032), (180, 0)]
)
def test_the_decaying_alpha_of_srfp(t, value):
    assert decay(1.0)(t, 200) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(("t", "value"), [(0, 0.5), (10, 0.291), (25, 0.129), (50, 0.033), (100, 0.0022)])
def test_alpha_may_begin_lower(t, value):
    assert decay(0.5)(t, 200) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("t", "value"),
    [(0, 0.0067), (0.1, 0.027), (0.2, 0.1), (0.357, 0.5), (0.5, 0.881), (0.7, 0.992), (0.8, 0.998), (1, 1)],
)
def test_one_cycle(t, value):
    assert one_cycle(t) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("t", "value"), [(0.1, 0.271), (0.2, 0.488), (0.3, 0.657), (0.5, 0.875), (0.8, 0.992)]
)
def test_agp(t, value):
    assert cubic(t) == pytest.approx(value, abs=6e-4)


def test_a_constant():
    assert constant(0.3)(7, 9) == 0.3
