"""The path of the LASSO: at which penalty each coefficient first leaves zero, from products alone.

minimise ½ βᵀ G β − βᵀ t + α Σ |β_c|

As long as the same coefficients are not zero, they are linear in α (Osborne et al. 2000, Efron et al. 2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# What is left of a column beside the chosen ones, as a share of it: below, it is one of their sums.
INDEPENDENT = 1e-10
# A denominator below this means two numbers that move alike.
ALIKE = 1e-12
# A path takes about as many steps as there are coefficients, more when some return to zero.
STEPS = 16


def entry_penalties(products: Floats, target: Floats) -> Floats:
    """The largest α at which each β_c is not zero, 0 for one that is never taken: (F, F), (F,) → (F,)."""
    path = _Path(products, target)
    entries = np.zeros(len(target))
    excluded = products.diagonal() <= 0
    if excluded.all():
        return entries
    entering: int | None = int(np.where(excluded, -1.0, np.abs(target)).argmax())
    for _ in range(STEPS * len(target)):
        if entering is not None:
            coefficient = path.order[entering]
            if path.enter(entering):
                entries[coefficient] = max(entries[coefficient], path.penalty)
            else:
                excluded[coefficient] = True
        entering, leaving = path.advance(excluded)
        if path.penalty <= 0:
            break
        if leaving is not None:
            path.leave(leaving)
    return entries


class _Path:
    """Where a path is. Vectors run over places: the chosen coefficients first, in the order of `basis`."""

    def __init__(self, products: Floats, target: Floats) -> None:
        count = len(target)
        self._products = products
        self.order = np.arange(count)
        """Which coefficient is at each place."""
        self.penalty = float(np.abs(target).max())
        self._chosen = 0
        self._slope = target.copy()
        """t − Gβ: at the chosen places it is ± the penalty."""
        self._rate = np.zeros(count)
        """By how much the slope falls when the penalty falls by one."""
        self._value = np.zeros(count)
        # Row i is column i of G_:A L⁻ᵀ, L Lᵀ = G_AA of the chosen A; `_height` is L⁻¹ of their signs.
        self._basis = np.zeros((count, count))
        self._height = np.zeros(count)

    def enter(self, place: int) -> bool:
        """Choose the coefficient at a place; False when it is a sum of the chosen ones."""
        at = self._chosen
        for vector in (self.order, self._slope, self._rate, self._value):
            vector[[at, place]] = vector[[place, at]]
        self._basis[:at, [at, place]] = self._basis[:at, [place, at]]
        own = self._basis[:at, at]
        column = self._products[self.order[at], self.order[at:]] - own @ self._basis[:at, at:]
        if column[0] <= INDEPENDENT * self._products[self.order[at], self.order[at]]:
            return False
        length = np.sqrt(column[0])
        self._basis[at, at:] = column / length
        self._height[at] = (np.sign(self._slope[at]) - own @ self._height[:at]) / length
        self._rate[at:] += self._height[at] * self._basis[at, at:]
        self._chosen += 1
        return True

    def leave(self, place: int) -> None:
        """Let a chosen coefficient be zero; the factor is made triangular again by rotations."""
        last = self._chosen - 1
        moved = [*range(place + 1, last + 1), place]
        for vector in (self.order, self._slope, self._rate, self._value):
            vector[place : last + 1] = vector[moved]
        self._basis[: last + 1, place : last + 1] = self._basis[: last + 1, moved]
        for at in range(place, last):
            first, second = self._basis[at, at], self._basis[at + 1, at]
            length = np.hypot(first, second)
            turn = np.array([[first, second], [-second, first]]) / length
            self._basis[at : at + 2, at:] = turn @ self._basis[at : at + 2, at:]
            self._height[at : at + 2] = turn @ self._height[at : at + 2]
        self._rate[last:] -= self._height[last] * self._basis[last, last:]
        self._basis[last] = 0.0
        self._value[last] = 0.0
        self._chosen = last

    def advance(self, excluded: NDArray[np.bool_]) -> tuple[int | None, int | None]:
        """Lower the penalty until a coefficient enters or leaves: (place that enters, place that leaves)."""
        from scipy.linalg import solve_triangular

        at = self._chosen
        moves = solve_triangular(self._basis[:at, :at], self._height[:at], check_finite=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            zero = -self._value[:at] / moves
        zero[~(zero > 0)] = np.inf
        slope, rate, order = self._slope[at:], self._rate[at:], self.order[at:]
        bounds = np.full((2, len(slope)), np.inf)
        for side, sign in enumerate((1.0, -1.0)):
            # Of one that has just left, the slope falls faster than the penalty: it does not meet it.
            closing = 1 - sign * rate
            meets = (closing > ALIKE) & ~excluded[order]
            bounds[side, meets] = np.maximum(self.penalty - sign * slope[meets], 0) / closing[meets]
        reached = bounds.min(axis=0)
        step = min(reached.min(initial=np.inf), zero.min(initial=np.inf), self.penalty)
        self._value[:at] += step * moves
        self._slope -= step * self._rate
        self.penalty -= step
        if self.penalty <= 0:
            return None, None
        if zero.min(initial=np.inf) <= step:
            return None, int(zero.argmin())
        return at + int(reached.argmin()), None
