"""Amounts beside limits."""

from __future__ import annotations

import pytest

from prunecli.gates.wording import BYTES, ERROR, POINTS, SECONDS, SHARE, apart


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.904761, 0.9, "0.905"),
        (0.82, 0.5, "0.82"),
        (0.9, 0.9, "0.90"),
        (0.899999, 0.9, "0.899999"),
        (1234.5, 1000, "1,234.50"),
        (1.0 + 1e-15, 1.0, "1.000000000000001"),
    ],
)
def test_as_many_digits_as_tell_a_value_from_its_limit(value, limit, text):
    assert apart(value, limit) == text


def test_units_are_written_with_their_amounts():
    assert SHARE.beside(0.39999, 0.4) == "39.999 %"
    assert SHARE.exactly(0.4) == "40 %"
    assert BYTES.beside(10_000_001, 10_000_000) == "10,000,001 bytes"
    assert SECONDS.exactly(0.005) == "5 ms"
    assert SECONDS.exactly(0.001) == "1 ms"
    assert ERROR.beside(1.0004e-4, 1e-4) == "0.00010004"
    assert (POINTS.exactly(1), POINTS.exactly(1.5)) == ("1 point", "1.5 points")
