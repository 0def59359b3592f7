"""A space of settings: each name with the values that it may have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from prunecli.errors import WrongUse

Value = str | float | int | bool


@dataclass(frozen=True)
class Span:
    """The numbers `low`, `low + step`, … up to `high`; in their order, which a sampler may make use of."""

    low: float
    high: float
    step: float

    def __post_init__(self) -> None:
        if not self.step > 0 or not self.low <= self.high:
            raise WrongUse(f"no number lies from {self.low:g} to {self.high:g} in steps of {self.step:g}")

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Each of them as the float nearest to it: 0.2 + 10 × 0.01 is 0.3."""
        low, high, step = (Fraction(str(number)) for number in (self.low, self.high, self.step))
        return tuple(float(low + place * step) for place in range(int((high - low) / step) + 1))


Space = Mapping[str, Sequence[Value] | Span]


def values_of(choice: Sequence[Value] | Span) -> tuple[Value, ...]:
    """The values that one name may have."""
    return choice.values if isinstance(choice, Span) else tuple(choice)


def size(space: Space) -> int:
    """How many points there are."""
    return math.prod(len(values_of(choice)) for choice in space.values())


def point(space: Space, index: int) -> dict[str, Value]:
    """Point `index`, from 0; the last name changes fastest."""
    found: dict[str, Value] = {}
    for name in reversed(tuple(space)):
        values = values_of(space[name])
        index, place = divmod(index, len(values))
        found[name] = values[place]
    return {name: found[name] for name in space}


def index_of(space: Space, values: Mapping[str, Value]) -> int:
    """The index of a point, as `point` counts; raises ValueError for a value that is not in the space."""
    index = 0
    for name, choice in space.items():
        known = values_of(choice)
        index = index * len(known) + known.index(values[name])
    return index


def distance(space: Space, one: Mapping[str, Value], other: Mapping[str, Value]) -> float:
    """How far two points are from each other: names 1 each, numbers as a share of the way from end to end."""
    found = 0.0
    for name, choice in space.items():
        known = values_of(choice)
        ordered = all(isinstance(value, (int, float)) for value in known) and len(known) > 1
        steps = abs(known.index(one[name]) - known.index(other[name]))
        found += steps / (len(known) - 1) if ordered else float(steps > 0)
    return found


def check_space(space: Space) -> None:
    """Raise WrongUse for a name without values, and for one that has a value twice."""
    for name, choice in space.items():
        known = values_of(choice)
        if not known:
            raise WrongUse(f"{name} has no value to try")
        if len(set(known)) < len(known):
            raise WrongUse(f"{name} has a value twice")


def snapped(space: Space, values: Mapping[str, Any]) -> dict[str, Value]:
    """The point of the space that is meant: a number of a `Span` may be off by a rounding."""
    found: dict[str, Value] = {}
    for name, choice in space.items():
        given = values[name]
        if isinstance(choice, Span):
            place = round((given - choice.low) / choice.step)
            given = choice.values[min(max(place, 0), len(choice.values) - 1)]
        found[name] = given
    return found


def distributions(space: Space) -> dict[str, Any]:
    """The same as optuna takes it."""
    from prunecli.search.requirement import load_optuna

    known = load_optuna().distributions
    return {
        name: known.FloatDistribution(choice.low, choice.values[-1], step=choice.step)
        if isinstance(choice, Span)
        else known.CategoricalDistribution(list(choice))
        for name, choice in space.items()
    }
