"""The most that can go while accuracy falls by so many points at most, by bisection.

Each candidate is a real cut, judged as `prune` judges one: batch norms measured again, then accuracy. The
search reads the validation part of the training images. What it finds is judged on the part that the user
named, and where that shows a larger fall the next smaller candidate takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from prunecli.allocation.targets import MACS, Target
from prunecli.errors import GateNotMet
from prunecli.progress import Progress, remark
from prunecli.surgery.planning import Planned
from prunecli.workflows.aiming import Aim

# Of the MACs: the step between two neighbouring candidates.
STEPS = 128


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One candidate: how it was chosen, the share of the MACs that remains, and the accuracy in %."""

    aim: Aim
    accuracy: float

    def document(self) -> dict[str, float]:
        """As JSON values."""
        return {"macs": self.aim.reached / self.aim.gauge.before, "accuracy": self.accuracy}


@dataclass(frozen=True, kw_only=True)
class Search:
    """All candidates in the order in which they were tried, and the accuracy of the whole network."""

    points: float
    before: float
    tried: tuple[Tried, ...]

    def allowed(self) -> Iterator[Aim]:
        """The candidates that fell by no more than allowed, from the smallest network on."""
        fitting = [each for each in self.tried if self.before - each.accuracy <= self.points]
        yield from (each.aim for each in sorted(fitting, key=lambda each: each.aim.reached))

    def document(self) -> list[dict[str, float]]:
        """What was tried, as JSON values."""
        return [each.document() for each in self.tried]


def search(
    points: float,
    *,
    before: float,
    aim_at: Callable[[Target], Aim],
    accuracy_of: Callable[[Planned], float],
    progress: Progress,
) -> Search:
    """Bisect over the share of the MACs that remains; `before` is the whole network's accuracy in %.

    `aim_at` makes a candidate of a target, `accuracy_of` says how good it is. Raises GateNotMet when even
    the smallest cut falls by more.
    """
    tried: list[Tried] = []
    low, high = 0, STEPS  # at `low` the fall is too large, at `high` nothing is gone
    while high - low > 1:
        middle = (low + high) // 2
        target = Target(MACS, Fraction(middle, STEPS), True, f"max-drop={points:g}")
        aim = aim_at(target)
        accuracy = accuracy_of(aim.planned)
        tried.append(Tried(aim=aim, accuracy=accuracy))
        allowed = before - accuracy <= points
        share = aim.reached / aim.gauge.before
        said = "within" if allowed else "over"
        remark(progress, [f"{share:.3f} of the MACs: accuracy {accuracy:.2f} %, {said} the allowed drop"])
        low, high = (low, middle) if allowed else (middle, high)
    found = Search(points=points, before=before, tried=tuple(tried))
    if next(found.allowed(), None) is None:
        least = max(tried, key=lambda each: each.aim.reached)
        raise GateNotMet(
            f"nothing could be pruned within {points:g} points of accuracy",
            hints=[
                f"{least.document()['macs']:.3f} of the MACs: {least.accuracy:.2f} %, before {before:.2f} %"
            ],
        )
    return found
