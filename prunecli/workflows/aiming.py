"""What a target comes to in this network, found out before anything long begins.

Channels are chosen and their removal is planned, on shapes. Groups that no plan can follow are left out and
the choice is made again. Where what is measured of a plan is not what was counted (a latency, the bytes of a
file) the goal is moved by the difference and the choice is made again too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunecli.allocation.choosing import Allocation
from prunecli.allocation.goals import TOLERANCE, Goal, is_near
from prunecli.allocation.targets import WORDS, Target
from prunecli.errors import GateNotMet
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import Planned
from prunecli.workflows.gauges import Gauge

MOST_ROUNDS = 12
SINGLING_OUT = 4  # rounds in which not all blamed groups are left out at once
FORETELLINGS = 6
REFINEMENTS = 4  # moves of single groups towards a target that is measured
ALONG = tuple(
    part / 16 for part in (8, 4, 12, 6, 10, 2, 14, 7, 9, 5, 11, 3, 13, 1, 15)
)  # of a stretch, the middle first
LEAST_STEP = 0.02  # of what there was; a goal moves by so much where measuring says nothing of how far

Choose = Callable[[Goal, Mapping[str, str]], Allocation]
"""The channels that leave for a goal, when groups (name → reason) are left out."""

MakePlan = Callable[[Mapping[str, tuple[int, ...]]], Planned]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A target in this network: the goal that the choice of channels follows, and how near it comes.

    `unfollowed` are the groups that are left out, with the reason. `reached` is what the target's own cost
    comes to as `planned` on shapes.
    """

    target: Target
    gauge: Gauge
    goal: Goal
    unfollowed: Mapping[str, str]
    planned: Planned
    reached: float

    @property
    def limit(self) -> float:
        """The most that may remain."""
        return self.target.limit(self.gauge.before)

    @property
    def share(self) -> float:
        """The share of the cost that is to leave."""
        return 1 - self.limit / self.gauge.before

    def is_met(self, cost: float) -> bool:
        """Whether a cost is within the limit and near it."""
        return is_near(cost, self.limit)

    def gate(self, cost: float) -> GateNotMet | None:
        """The gate that a cost misses, with the nearest that can be had."""
        if self.is_met(cost):
            return None
        kind, before = self.target.kind, self.gauge.before
        left = f"{cost / before:.4f} of the {WORDS[kind]} would remain"
        side = "over it" if cost > self.limit else "more than 1 % under it"
        return GateNotMet(
            f"the target {self.target.text} is not met: {left}, {side}",
            hints=[
                f"the nearest that can be had: --target {kind}={_rounded_up(cost / before)}",
                *self._held_back(),
            ],
        )

    def _held_back(self) -> list[str]:
        """Which groups no plan could follow at these widths, and what may help."""
        if not self.unfollowed:
            return []
        reason = next(iter(self.unfollowed.values()))
        return [
            f"{len(self.unfollowed)} group{'s' * (len(self.unfollowed) > 1)} had to stay whole: {reason}",
            "other widths may do: --round-to 8",
        ]

    def cost_of(self, plan: Plan) -> float:
        """What a plan leaves of the target's own cost; what was measured of the same widths is not again."""
        plans = (plan, self.planned.plan)
        widths = [{(cut.tensor, cut.axis): len(cut.removed) for cut in each.cuts} for each in plans]
        return self.reached if widths[0] == widths[1] else self.gauge.of_plan(plan)

    def document(self, cost: float) -> dict[str, Any]:
        """The target, what there was and what remains, and whether that meets it."""
        return {
            "kind": self.target.kind,
            "asked": self.target.text,
            "before": self.gauge.before,
            "limit": self.limit,
            "after": cost,
            "share": cost / self.gauge.before,
            "met": self.is_met(cost),
        }


def take_aim(
    target: Target,
    gauge: Gauge,
    *,
    choose: Choose,
    plan: MakePlan,
    tell: Tell,
) -> Aim:
    """Find the goal whose plan meets the target, or comes nearest to it; `tell` hears of every step there.

    Raises GateNotMet for a limit that the whole network keeps already.
    """
    limit = target.limit(gauge.before)
    if limit >= gauge.before:
        raise GateNotMet(
            f"nothing is to be pruned: the network keeps the target {target.text} as it is",
            hints=[f"it has {gauge.before:,.6g}, and {limit:,.6g} may remain"],
        )
    middle = limit if gauge.counted else limit * (1 - TOLERANCE / 2)
    goal = _first_goal(gauge, middle, choose)
    best: Aim | None = None
    known = [(gauge.before, gauge.before)]
    unfollowed: dict[str, str] = {}
    seen: set[tuple[tuple[str, int], ...]] = set()
    for number in range(MOST_ROUNDS):
        planned = plan(choose(goal, unfollowed).removed)
        if planned.protected:
            unfollowed.update(_blamed(planned.protected, patient=number < SINGLING_OUT))
            continue
        reached = gauge.of_plan(planned.plan)
        found = Aim(
            target=target,
            gauge=gauge,
            goal=goal,
            unfollowed=dict(unfollowed),
            planned=planned,
            reached=reached,
        )
        if best is None or _nearness(found) > _nearness(best):
            best = found
        if found.is_met(reached) or gauge.counted:
            break
        seen.add(_widths(planned.plan.removed))
        known.append((goal.limit, reached))
        goals = (replace(goal, limit=each) for each in _moved(known, middle, least=LEAST_STEP * gauge.before))
        others = (each for each in goals if _widths(choose(each, unfollowed).removed) not in seen)
        further = next(others, None)
        if further is None:
            break
        tell(f"{reached / gauge.before:.4f} of the {WORDS[target.kind]} would remain, looking on")
        goal = further
    if best is None:
        raise GateNotMet("nothing could be pruned", hints=list(unfollowed.values()))
    return best if gauge.foretell is None else _refined(best, choose=choose, plan=plan, tell=tell)


def _refined(best: Aim, *, choose: Choose, plan: MakePlan, tell: Tell) -> Aim:
    """Groups given back a level or gone one further, by what is foretold of each; what is measured decides.

    A move that was too much is tried again by half.
    """
    part = 1.0
    for _ in range(REFINEMENTS):
        if best.is_met(best.reached):
            break
        goal = _shifted(best, part, choose)
        if goal is None:
            break
        planned = plan(choose(goal, best.unfollowed).removed)
        if planned.protected:
            break
        reached = best.gauge.of_plan(planned.plan)
        found = replace(best, goal=goal, planned=planned, reached=reached)
        tell(f"{reached / best.gauge.before:.4f} of the {WORDS[best.target.kind]} would remain, looking on")
        if _nearness(found) > _nearness(best):
            best = found
        else:
            part /= 2
    return best


def _shifted(aim: Aim, part: float, choose: Choose) -> Goal | None:
    """The goal with groups shifted by a level, the largest effects first, to go `part` of the way that lacks.

    None where no shift is small enough.
    """
    foretell, goal = aim.gauge.foretell, aim.goal
    assert foretell is not None
    removed = choose(goal, aim.unfollowed).removed
    base = foretell(removed)
    lacking = part * (aim.limit * (1 - TOLERANCE / 2) - aim.reached) * base / aim.reached
    slack = TOLERANCE / 4 * base
    level = -1 if lacking > 0 else 1  # a level back makes it slower
    effects: dict[str, float] = {}
    for name in removed:
        moved = {**goal.shifts, name: goal.shifts.get(name, 0) + level}
        other = choose(replace(goal, shifts=moved), aim.unfollowed).removed
        if _widths(other) != _widths(removed):
            effects[name] = foretell(other) - base
    shifts, left = dict(goal.shifts), lacking
    for name, effect in sorted(effects.items(), key=lambda pair: -abs(pair[1])):
        if effect * lacking > 0 and abs(effect) <= abs(left) + slack:
            shifts[name] = shifts.get(name, 0) + level
            left -= effect
            if left * lacking <= 0:
                break
    return None if shifts == goal.shifts else replace(goal, shifts=shifts)


def _blamed(protected: Mapping[str, str], *, patient: bool) -> Mapping[str, str]:
    """The groups to leave out next, of those that a plan had to: groups whose own layer does not follow.

    Where there are none, the first: what is blamed later often suffers from it. All, once that took too long.
    """
    own = {name: reason for name, reason in protected.items() if reason.startswith(f"{name} ")}
    if own or not patient:
        return own if patient else protected
    return dict([next(iter(protected.items()))])


def _first_goal(gauge: Gauge, wanted: float, choose: Choose) -> Goal:
    """The goal to begin with: `wanted` itself, or where the foretold cost is that."""
    goal = Goal(before=gauge.before, limit=wanted, left=gauge.left)
    if gauge.foretell is None:
        return goal
    low, high = 0.0, gauge.before
    for _ in range(FORETELLINGS):
        goal = replace(goal, limit=(low + high) / 2)
        over = gauge.foretell(choose(goal, {}).removed) > wanted
        low, high = (low, goal.limit) if over else (goal.limit, high)
    return goal


def _widths(removed: Mapping[str, Sequence[int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, len(channels)) for name, channels in removed.items()))


def _moved(known: Sequence[tuple[float, float]], wanted: float, *, least: float) -> Iterator[float]:
    """Goals at which `wanted` is to be expected, likeliest first; `known` has goals and what they reached.

    Between the nearest on both sides, in a straight line and then all along, since widths come in steps and
    more channels may be faster; where all lie above, on the line through the last.
    """
    above = min((pair for pair in known if pair[1] >= wanted), key=lambda pair: pair[1])
    below = max((pair for pair in known if pair[1] < wanted), key=lambda pair: pair[1], default=None)
    if below is not None:
        likeliest = (wanted - below[1]) / (above[1] - below[1])
        for part in (likeliest, *ALONG):
            yield below[0] + part * (above[0] - below[0])
        return
    (goal, reached), first = known[-1], known[0]
    slope = (first[1] - reached) / (first[0] - goal) if first[0] > goal else 1.0
    yield max(0.0, goal - max(least, (reached - wanted) / max(slope, 0.1)))


def _nearness(aim: Aim) -> tuple[bool, float]:
    """More is better: what keeps the limit before what does not, and then what is near it."""
    return aim.reached <= aim.limit, -abs(aim.limit - aim.reached)


def _rounded_up(share: float) -> str:
    return f"{share + 0.00005:.4f}"
