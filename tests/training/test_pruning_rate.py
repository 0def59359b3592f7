from __future__ import annotations

import pytest

from prunecli.errors import WrongUse
from prunecli.training.pruning_rate import pruning_aware_rate


@pytest.mark.parametrize(
    ("left", "rate"),
    [
        (1.0, 0.001000),
        (0.95, 0.001000),
        (0.90, 0.000930),
        (0.88, 0.000625),
        (0.87, 0.000432),
        (0.86, 0.000320),
        (0.84, 0.000258),
        (0.80, 0.000250),
        (0.50, 0.000250),
        (0.0, 0.000250),
    ],
)
def test_the_table_of_the_paper(left: float, rate: float) -> None:
    assert pruning_aware_rate(left) == pytest.approx(rate, abs=1e-6)


def test_by_hand() -> None:
    """x = 0.5, 2(1 − p) − x = 1, (1/2)² = 1/4: 0.01 − 0.005 / (5/4)."""
    assert pruning_aware_rate(0.5, base=0.01, p=0.25, beta=2, delta=0.005) == pytest.approx(0.006)
    # x = 1, rest 0.5, 2² = 4: 0.01 − 0.005 / 5
    assert pruning_aware_rate(1.0, base=0.01, p=0.25, beta=2, delta=0.005) == pytest.approx(0.009)


def test_it_falls_without_a_jump_and_never_overflows() -> None:
    for p in (0.1, 0.2, 0.5, 0.8):
        rates = [pruning_aware_rate(left / 1000, p=p, beta=60) for left in range(1001)]
        assert rates == sorted(rates)
        assert min(rates) == pytest.approx(0.00025)
        assert max(rates) <= 0.001
    # From x = 2(1 − p) = 0.4 on.
    assert pruning_aware_rate(0.4, p=0.8) == pruning_aware_rate(0.7, p=0.8) == 0.001
    assert pruning_aware_rate(0.4 - 1e-15, p=0.8) == pytest.approx(0.001)


@pytest.mark.parametrize(
    "wrong", [{"left": 1.1}, {"left": -0.1}, {"p": 0.0}, {"p": 1.0}, {"beta": 0.0}, {"delta": 0.001}]
)
def test_what_gives_no_rate_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(WrongUse, match="in a pruning-aware rate"):
        pruning_aware_rate(**{"left": 0.5, **wrong})
