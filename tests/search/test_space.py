"""Spaces, their points, and the numbers of a span."""

from __future__ import annotations

import pytest

from prunecli.errors import WrongUse
from prunecli.search.space import Span, check_space, distance, index_of, point, size, snapped

SPACE = {"ratio": Span(0.2, 0.4, 0.1), "criterion": ("l1", "l2")}


def test_a_span_has_the_floats_nearest_to_its_numbers():
    found = Span(0.2, 0.8, 0.01).values
    assert len(found) == 61
    assert (found[0], found[10], found[-1]) == (0.2, 0.3, 0.8)


def test_a_span_ends_before_a_step_that_would_pass_its_end():
    assert Span(0.0, 1.0, 0.4).values == (0.0, 0.4, 0.8)


@pytest.mark.parametrize("numbers", [(0.5, 0.2, 0.1), (0.0, 1.0, 0.0), (0.0, 1.0, -0.1)])
def test_a_span_that_cannot_be_is_refused(numbers):
    with pytest.raises(WrongUse, match="no number lies"):
        Span(*numbers)


def test_points_are_counted_with_the_last_name_fastest():
    assert size(SPACE) == 6
    assert [tuple(point(SPACE, index).values()) for index in range(3)] == [
        (0.2, "l1"),
        (0.2, "l2"),
        (0.3, "l1"),
    ]
    assert [index_of(SPACE, point(SPACE, index)) for index in range(6)] == list(range(6))


def test_a_rounding_of_a_span_is_taken_back():
    assert snapped(SPACE, {"ratio": 0.1 + 0.2, "criterion": "l2"}) == {"ratio": 0.3, "criterion": "l2"}


def test_a_space_needs_values_and_each_once():
    with pytest.raises(WrongUse, match="criterion has no value"):
        check_space({"criterion": ()})
    with pytest.raises(WrongUse, match="criterion has a value twice"):
        check_space({"criterion": ("l1", "l1")})


def test_numbers_are_near_by_their_order_and_names_are_not():
    here = {"ratio": 0.2, "criterion": "l1"}
    assert distance(SPACE, here, here) == 0
    assert distance(SPACE, here, {"ratio": 0.3, "criterion": "l1"}) == 0.5
    assert distance(SPACE, here, {"ratio": 0.2, "criterion": "l2"}) == 1
    assert distance(SPACE, here, {"ratio": 0.4, "criterion": "l2"}) == 2
