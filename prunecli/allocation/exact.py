"""The least loss of importance for a cost, exactly: a knapsack, where what groups save adds up.

Kwon et al. 2022 (arXiv:2204.09656) search heads and neurons of a transformer so: what a head saves does not
depend on how many neurons are left. Here every step of every group is an item with what it saves and the sum
of the scores that it takes, and the sum taken is to be least. Convolutions in a row are no such case: what a
filter saves depends on how many filters the next layer has.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunecli.allocation.goals import TOLERANCE
from prunecli.errors import WorkFailed, WrongUse

if TYPE_CHECKING:
    from prunecli.allocation.goals import Step, Taken, Way

SECONDS = 120.0
# Relative: of sums of scores in double precision.
SLACK = 1e-12
# Of the savings: the solver's own tolerance must not carry a choice over the limit.
ROUNDING = 1e-6
_INFEASIBLE = 2  # the status of scipy's solver

_Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The least and the most (items,) of every item that a choice takes: 0 or 1."""


@dataclass(frozen=True, eq=False)
class _Items:
    """Steps, those of one group in a row, with what each saves and loses: two arrays (items,)."""

    steps: tuple[Step, ...]
    saved: NDArray[np.float64]
    lost: NDArray[np.float64]

    @property
    def rate(self) -> NDArray[np.float64]:
        """(items,) what each loses for what it saves."""
        nothing_saved = np.full(self.lost.size, np.inf)
        return np.asarray(np.divide(self.lost, self.saved, out=nothing_saved, where=self.saved > 0))

    def efficient_first(self) -> tuple[Step, ...]:
        """By what is lost for what is saved; no step before an earlier one of its group."""
        rate = self.rate
        for i in self.later():
            rate[i] = max(rate[i], rate[i - 1])
        return tuple(self.steps[i] for i in np.argsort(rate, kind="stable"))

    def later(self) -> list[int]:
        """The items that stand behind an earlier step of their group."""
        return [i for i, (before, after) in enumerate(pairwise(self.steps), 1) if before.place == after.place]


def least_loss(way: Way) -> Taken:
    """The steps that lose the least importance and meet the goal; all steps where they are too few.

    Raises WrongUse where what groups save does not add up, WorkFailed when no proof is found in time.
    """
    items = _items(way)
    nothing, everything = way.after(()), way.after(items.steps)
    need = way.cost(nothing) - way.goal.limit
    if need <= 0 or way.cost(everything) > way.goal.limit:
        return everything if need > 0 else nothing
    known = way.along(items.efficient_first()).shortest()
    most = need + TOLERANCE * way.goal.limit  # a goal is met by what lies near it
    if not way.goal.is_met(way.cost(known)):
        found = (_chosen(way, items, need, each, _bounds(items)) for each in (most, np.inf))
        return next((taken for taken in found if taken is not None), known)
    taken = np.array([step.level <= known[step.place] for step in items.steps])
    bounds = _settled(items, need, upper=float(items.lost[taken].sum()))
    return known if (bounds[0] == bounds[1]).all() else _chosen(way, items, need, most, bounds) or known


def _bounds(items: _Items) -> _Bounds:
    """Every item may be taken or not."""
    return np.zeros(len(items.steps)), np.ones(len(items.steps))


def _items(way: Way) -> _Items:
    """Every step as an item; raises WrongUse unless all groups together save what they save alone."""
    steps = sorted(way.steps, key=lambda step: (step.place, step.level))
    whole = way.cost(way.after(()))
    by_group = [list(own) for _, own in groupby(steps, key=lambda step: step.place)]
    saved = np.concatenate([_savings(way, own) for own in by_group])
    if whole - way.cost(way.after(steps)) != saved.sum():
        raise WrongUse(
            "--scope exact needs groups whose savings add up, and here what one saves depends on others",
            hints=[
                "networks of attention and MLP blocks are such with --residual inner",
                "else: --scope global",
            ],
        )
    lost = []
    for step in steps:
        candidate = way.candidates[step.place]
        lost.append(candidate.scores[candidate.order[slice(*_between(way, step))]].sum())
    return _Items(tuple(steps), saved, np.array(lost))


def _between(way: Way, step: Step) -> tuple[int, int]:
    """How many channels are gone before the step and after it."""
    levels = way.candidates[step.place].levels
    return int(levels[step.level - 1]), int(levels[step.level])


def _savings(way: Way, steps: list[Step]) -> NDArray[np.float64]:
    """(steps,) what each of the steps of one group saves when no other group loses channels."""
    left = [way.cost(way.after(steps[:count])) for count in (0, 1, len(steps))]
    first, all_ = left[0] - left[1], left[0] - left[2]
    counts = np.array([after - before for before, after in (_between(way, step) for step in steps)])
    if first * counts.sum() == all_ * counts[0]:  # every channel saves the same
        return np.asarray(counts * (first / counts[0]))
    return -np.diff([way.cost(way.after(steps[:count])) for count in range(len(steps) + 1)])


def _settled(items: _Items, need: float, *, upper: float) -> _Bounds:
    """Bounds (items,) of every item in any choice that loses less than `upper`.

    The relaxed problem, in which the last item may be taken in part, gives a lower bound and a price for what
    is saved. An item whose own loss at that price makes up for the distance is as in the relaxed choice.
    """
    rate = items.rate
    order = np.argsort(rate, kind="stable")
    sums = np.cumsum(items.saved[order])
    last = int(np.searchsorted(sums, need))
    price = rate[order[last]]
    lower = items.lost[order[:last]].sum() + price * (need - (sums[last - 1] if last else 0.0))
    reduced = items.lost - price * items.saved
    settled = np.abs(reduced) > (upper - lower) + SLACK * np.abs(items.lost).sum()
    return np.where(settled & (reduced < 0), 1.0, 0.0), np.where(settled & (reduced > 0), 0.0, 1.0)


def _chosen(way: Way, items: _Items, need: float, most: float, bounds: _Bounds) -> Taken | None:
    """The choice that loses least of those that save from `need` to `most`, None where there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    later = items.later()
    rows = np.repeat(np.arange(len(later)), 2)
    columns = np.array([[i - 1, i] for i in later], dtype=np.int64).reshape(-1)
    signs = np.tile([1.0, -1.0], len(later))
    in_order = coo_array((signs, (rows, columns)), shape=(len(later), len(items.steps)))
    scale = float(np.abs(items.lost).max()) or 1.0
    found = milp(
        items.lost / scale,
        integrality=np.ones(len(items.steps)),
        bounds=Bounds(*bounds),
        constraints=[
            LinearConstraint(items.saved[None, :] / need, 1.0 + ROUNDING, most / need - ROUNDING),
            LinearConstraint(in_order.tocsr(), 0.0, np.inf),
        ],
        options={"time_limit": SECONDS, "mip_rel_gap": 0.0},
    )
    if found.status == _INFEASIBLE:
        return None
    if not found.success:
        raise WorkFailed(
            f"the best choice was not found: {found.message}",
            hints=["--round-to 8 leaves fewer choices", "--scope global needs no search"],
        )
    return way.after(step for step, share in zip(items.steps, found.x, strict=True) if share > 0.5)
