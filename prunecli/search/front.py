"""The Pareto front of accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
"""Accuracy, where more is better, and cost, where less is."""


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is at least as good in both figures and better in one."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def pareto_front(points: Sequence[Point]) -> tuple[int, ...]:
    """Places of the points that no other dominates, by rising cost; those that are equal all belong to it."""
    best = [
        place for place, point in enumerate(points) if not any(dominates(other, point) for other in points)
    ]
    return tuple(sorted(best, key=lambda place: (points[place][1], place)))
