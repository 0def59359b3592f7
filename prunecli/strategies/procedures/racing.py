"""Who has the lowest mean loss: by a race in which the clearly worse drop out early, or exactly.

**The race.** Most images hardly move: differences between contenders come from the few that the network is
unsure of. The N images are therefore divided into `STRATA` strata by the loss of the network as it is, of
about equal sums of √loss, so that those of high losses are few. Of each stratum as many images are seen as of
any other, in random order, until it is used up: the small ones soon are wholly. With n_h of a stratum's N_h
images seen, d the differences of a contender's losses from those of the leader, image by image, d̄_h their
mean and s_h their standard deviation in the stratum,

    D = Σ N_h/N · d̄_h            e² = Σ (N_h/N)² · s_h²/n_h · (1 − n_h/N_h)

estimate the difference over all images and its standard error. Who has D > `MARGIN` · e drops out. Looks are
taken at `FIRST_LOOK` images and whenever there are `GROWTH` times as many. Who does not differ from the
leader on any of `SAME_FROM` images or more counts as equal. Who is left after all images is compared exactly.

**Exactly.** Who is expected to win sees all images. The others see them by its falling losses, until theirs,
none of which is negative, add up to more than its do in all.

Losses that differ by less than a millionth are equal, and of equal ones the first wins: the order in which
sums are rounded does not decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prunecli.processes import current
from prunecli.strategies.procedures.silencing import Bench, Contender

STRATA = 16
FIRST_LOOK = 96
GROWTH = 1.5
MARGIN = 3.0
SAME_FROM = 256
ROUNDING = 1e-6
HIGHEST_LOSS = 1e6  # stands for what is not finite

Losses = NDArray[np.float64]
"""(B,): the loss of every image."""
Places = NDArray[np.int64]
"""(B,): images by number."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winner's number, on how many images it won, and the mean losses of all as far as they came.

    There are no images and no losses where one was alone.
    """

    number: int
    images: int
    losses: tuple[float, ...]


def best_of(
    bench: Bench,
    contenders: Sequence[Contender],
    *,
    exact: bool = False,
    expected: Sequence[float] = (),
    seed: int = 0,
) -> Best:
    """The contender with the lowest mean loss on the images of the bench.

    `expected` losses, those of the step before say, tell who is likely to win: an exact choice is faster so.
    """
    if len(contenders) == 1:
        return Best(number=0, images=0, losses=(float(np.inf),))
    found = _exactly(bench, contenders, expected, seed) if exact else _raced(bench, contenders, seed)
    processes = current()
    if processes.count == 1:
        return found
    # Accelerators may round differently, and all processes must cut the same.
    number = int(processes.total(torch.tensor(found.number if processes.main else 0)))
    return Best(number=number, images=found.images, losses=found.losses)


def _raced(bench: Bench, contenders: Sequence[Contender], seed: int) -> Best:
    race = Race(len(contenders), bench.losses_now, seed=seed)
    while not race.over:
        places = race.next_places()
        for part in bench.parts(torch.from_numpy(places)):
            race.see(part.numpy(), _measured(bench, contenders, race.alive, part))
        race.look()
    return Best(number=race.leader(), images=race.seen, losses=tuple(race.means().tolist()))


def _exactly(bench: Bench, contenders: Sequence[Contender], expected: Sequence[float], seed: int) -> Best:
    everyone = range(len(contenders))
    if not any(np.isfinite(expected)):
        expected = _first_look(bench, contenders, seed)
    guess = int(np.argmin(expected))
    order = torch.arange(len(bench.images))
    known = np.concatenate(
        [_measured(bench, contenders, [guess], part)[guess] for part in bench.parts(order)]
    )
    order = torch.from_numpy(np.argsort(-known, kind="stable"))  # the highest first: sums grow fast
    totals, seen = np.zeros(len(contenders)), np.zeros(len(contenders))
    totals[guess], seen[guess] = known.sum(), len(known)
    bound = totals[guess] * (1 + ROUNDING)
    alive = [number for number in everyone if number != guess]
    for part in bench.parts(order):
        for number, losses in _measured(bench, contenders, alive, part).items():
            totals[number] += losses.sum()
            seen[number] += len(losses)
        alive = [number for number in alive if totals[number] <= bound]
    best = _first_of_lowest(totals, [guess, *alive])
    return Best(number=best, images=len(known), losses=tuple((totals / np.maximum(seen, 1)).tolist()))


def _first_look(bench: Bench, contenders: Sequence[Contender], seed: int) -> list[float]:
    """Estimated mean losses of all contenders on few images."""
    race = Race(len(contenders), bench.losses_now, seed=seed)
    for part in bench.parts(torch.from_numpy(race.next_places())):
        race.see(part.numpy(), _measured(bench, contenders, race.alive, part))
    return [float(mean) for mean in race.means()]


def _measured(
    bench: Bench, contenders: Sequence[Contender], numbers: Sequence[int], places: torch.Tensor
) -> dict[int, Losses]:
    """Contender → its losses on the images at `places`; what is not finite is very high."""
    if not numbers:
        return {}
    losses = torch.stack(bench.losses([contenders[number] for number in numbers], places)).double().cpu()
    return {number: _finite(each) for number, each in zip(numbers, losses.numpy(), strict=True)}


def _finite(losses: Losses) -> Losses:
    return np.nan_to_num(losses, nan=HIGHEST_LOSS, posinf=HIGHEST_LOSS).clip(max=HIGHEST_LOSS)


def _first_of_lowest(values: Losses, numbers: Sequence[int]) -> int:
    """The first of those whose value is the lowest but for rounding."""
    lowest = min(values[number] for number in numbers)
    return min(number for number in numbers if values[number] <= lowest * (1 + ROUNDING))


class Race:
    """Contenders 0 … `contenders` − 1 over images on which the network as it is has the losses `now` (N,)."""

    def __init__(self, contenders: int, now: Losses, *, seed: int = 0) -> None:
        self.alive = list(range(contenders))
        self._strata = _strata(_finite(now), np.random.RandomState(seed % 2**32))
        self._sizes = np.array([len(places) for places in self._strata])
        self._level = 0  # of every stratum so many images were seen, or all
        self._budget = float(FIRST_LOOK)
        self._stratum_of = np.empty(len(now), dtype=np.int64)
        for number, places in enumerate(self._strata):
            self._stratum_of[places] = number
        self._seen: list[Places] = []
        self._losses: dict[int, list[Losses]] = {number: [] for number in self.alive}

    @property
    def seen(self) -> int:
        """How many images were seen."""
        return sum(len(places) for places in self._seen)

    @property
    def over(self) -> bool:
        """Whether all images were seen, or one contender is left."""
        return len(self.alive) < 2 or self.seen == len(self._stratum_of)

    def next_places(self) -> Places:
        """The images up to the next look."""
        before, wanted = self._level, min(int(self._budget), len(self._stratum_of))
        while np.minimum(self._sizes, self._level).sum() < wanted:
            self._level += 1
        self._budget *= GROWTH
        return np.concatenate([places[before : self._level] for places in self._strata])

    def see(self, places: Places, found: Mapping[int, Losses]) -> None:
        """Further images: contender → its losses on them (B,), for all that are alive."""
        self._seen.append(places)
        for number in self.alive:
            self._losses[number].append(found[number])

    def look(self) -> None:
        """Let those drop out that are clearly behind the leader, or equal to it."""
        leader = self.leader()
        best = np.concatenate(self._losses[leader])
        self.alive = [n for n in self.alive if n == leader or not self._beaten(n, best)]

    def leader(self) -> int:
        """The lowest estimate of those that are alive."""
        return _first_of_lowest(self.means(), self.alive)

    def means(self) -> Losses:
        """The estimated mean losses over all images; of those that dropped out, as they were then."""
        return np.array([self._estimate(np.concatenate(each))[0] for each in self._losses.values()])

    def _beaten(self, number: int, best: Losses) -> bool:
        apart = np.concatenate(self._losses[number]) - best
        if len(apart) >= SAME_FROM and (np.abs(apart) <= ROUNDING * (1 + best)).all():
            return True
        mean, error = self._estimate(apart)
        return bool(mean > MARGIN * error)

    def _estimate(self, values: Losses) -> tuple[float, float]:
        """The mean over all images of something known on those that were seen first, and its error."""
        strata = self._stratum_of[np.concatenate(self._seen)[: len(values)]]
        count = len(self._sizes)
        seen = np.maximum(np.bincount(strata, minlength=count), 1)
        means = np.bincount(strata, weights=values, minlength=count) / seen
        squares = np.bincount(strata, weights=(values - means[strata]) ** 2, minlength=count)
        variances = squares / np.maximum(seen - 1, 1)
        weights = self._sizes / self._sizes.sum()
        error = np.sqrt((weights**2 * variances / seen * (1 - seen / self._sizes)).sum())
        return float((weights * means).sum()), float(error)


def _strata(losses: Losses, random: np.random.RandomState) -> list[Places]:
    """The images by falling loss in parts of about equal sums of √loss, each in random order."""
    order = np.argsort(-losses, kind="stable")
    sums = np.cumsum(np.sqrt(losses[order] + ROUNDING))
    numbers = np.minimum((sums / sums[-1] * STRATA).astype(np.int64), STRATA - 1)
    return [random.permutation(order[numbers == number]) for number in np.unique(numbers)]
