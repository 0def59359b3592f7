"""The front, on points with a known answer."""

from __future__ import annotations

from prunecli.search.front import dominates, pareto_front


def test_what_is_worse_in_both_figures_is_not_on_the_front():
    #         0           1           2           3           4
    points = [(90.0, 5.0), (95.0, 7.0), (89.0, 6.0), (96.0, 9.0), (94.0, 8.0)]
    assert pareto_front(points) == (0, 1, 3)


def test_the_order_is_by_cost():
    assert pareto_front([(96.0, 9.0), (90.0, 5.0), (95.0, 7.0)]) == (1, 2, 0)


def test_a_tie_in_one_figure_goes_to_the_better_other_one():
    assert pareto_front([(90.0, 5.0), (91.0, 5.0)]) == (1,)
    assert pareto_front([(90.0, 5.0), (90.0, 4.0)]) == (1,)


def test_equal_points_all_belong_to_it():
    assert pareto_front([(90.0, 5.0), (80.0, 6.0), (90.0, 5.0)]) == (0, 2)
    assert not dominates((90.0, 5.0), (90.0, 5.0))


def test_one_point_and_none():
    assert pareto_front([(1.0, 1.0)]) == (0,)
    assert pareto_front([]) == ()
