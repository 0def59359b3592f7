"""A study: places for so many trials, each taken by one process, in a storage that many share.

A trial has a place (`slot`), which is written when it is made. The first living trial of a place is the one
that counts, so a place is worked on once however many processes there are: whoever takes a trial and finds
an earlier one in its place gives it up. A trial whose process died is dead, and its place is free again; the
next trial there begins with the values and the finished runs of the dead one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prunecli.errors import InputRefused, WrongUse
from prunecli.search.requirement import load_optuna
from prunecli.search.samplers import GRID, check_sampler, proposed
from prunecli.search.space import (
    Space,
    Value,
    check_space,
    distance,
    distributions,
    index_of,
    point,
    size,
    snapped,
)
from prunecli.search.storages import MEMORY, open_storage, storage_in_words, without_password
from prunecli.search.trials import (
    END,
    RUNNING,
    SEEN,
    SLOT,
    WORKER,
    Record,
    Taken,
    end_trial,
    living,
    run_attributes,
    runs_of,
    state_of,
)
from prunecli.search.workers import is_gone, myself

LOST_AFTER = 1800.0
"""Seconds of silence after which a worker of another machine counts as dead."""
_ORIGIN = "origin"
_DIRECTIONS = {"minimise": "minimize", "maximise": "maximize"}


def open_study(
    space: Space,
    *,
    name: str = "study",
    storage: str = MEMORY,
    sampler: str = GRID,
    seed: int = 0,
    directions: Sequence[str] = ("maximise", "minimise"),
    origin: Mapping[str, Any] | None = None,
    lost_after: float = LOST_AFTER,
) -> Study:
    """The study `name` in a storage, begun if there is none.

    `directions` are "maximise" or "minimise" for each figure that a trial is finished with. `origin`, JSON
    values by name, says what the study is of. A worker of another machine that has said nothing for
    `lost_after` seconds counts as dead. Raises WrongUse for a study of another origin and as `open_storage`
    does, InputRefused for a study that something else has made.
    """
    check_sampler(sampler)
    check_space(space)
    optuna = load_optuna()
    label = without_password(storage)
    wanted = [_DIRECTIONS[each] for each in directions]
    kept = open_storage(storage)
    with storage_in_words(label):
        study = optuna.create_study(
            storage=kept,
            study_name=name,
            directions=wanted,
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),  # proposals are made beside the study
        )
        _check_kind(study, wanted, name=name, label=label)
        _check_origin(study, dict(origin or {}), name=name)
    return Study(study, space, sampler=sampler, seed=seed, label=label, lost_after=lost_after)


class Study:
    """Trials to be taken, and what became of them."""

    def __init__(
        self, study: Any, space: Space, *, sampler: str, seed: int, label: str, lost_after: float
    ) -> None:
        self._study = study
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._lost_after = lost_after
        self._me = myself()
        self.label = label
        self.name: str = study.study_name

    def records(self) -> tuple[Record, ...]:
        """The trials that count, by number."""
        with storage_in_words(self.label):
            found = sorted(living(self._trials()).values(), key=lambda each: int(each.number))
            return tuple(self._record(each) for each in found)

    def take(self, limit: int) -> Taken | None:
        """The next trial of `limit` in all, None where all of them are done or in somebody's hands."""
        with storage_in_words(self.label):
            while True:
                self._bury_lost()
                trials = self._trials()
                full = living(trials)
                free = [slot for slot in range(min(limit, size(self._space))) if slot not in full]
                if not free:
                    return None
                # Processes that begin at the same time do not all want the first place.
                at_work = sum(state_of(each) == RUNNING for each in full.values())
                slot = free[min(random.randrange(at_work + 1), len(free) - 1)]
                taken = self._made(slot, *self._proposal(slot, trials))
                if taken is not None:
                    return taken

    def _trials(self) -> list[Any]:
        found: list[Any] = self._study.get_trials(deepcopy=False)
        return found

    def _proposal(
        self, slot: int, trials: Sequence[Any]
    ) -> tuple[dict[str, Value], dict[str, Any], dict[str, Any]]:
        """Values for a place, the runs that are done of them, and what the sampler notes on its trial."""
        tried = {self._index(each) for each in living(trials).values()}
        dead = [
            each for each in trials if each.user_attrs.get(SLOT) == slot and self._index(each) not in tried
        ]
        if dead:
            last = max(dead, key=lambda each: (len(runs_of(each.user_attrs)), each.number))
            return snapped(self._space, last.params), run_attributes(last.user_attrs), {}
        noted: dict[str, Any] = {}
        if self._sampler == GRID:
            values = self._of_grid(slot)
        else:
            directions = self._study.directions
            values, noted = proposed(
                self._sampler, directions, self._space, trials, seed=self._seed, slot=slot
            )
        if index_of(self._space, values) in tried:
            values = self._nearest(values, tried, seed=self._seed * 1_000_003 + slot)
        return values, {}, noted

    def _of_grid(self, slot: int) -> dict[str, Value]:
        import numpy as np

        # RandomState, not Generator: numpy promises that its streams never change between releases.
        order = np.random.RandomState(self._seed % 2**32).permutation(size(self._space))
        return point(self._space, int(order[slot]))

    def _nearest(
        self, wanted: Mapping[str, Value], tried: Collection[int | None], *, seed: int
    ) -> dict[str, Value]:
        """The point nearest to a wanted one that nobody has; of several, one at random."""
        import numpy as np

        untried = sorted(set(range(size(self._space))).difference(tried))
        points = [point(self._space, index) for index in untried]
        far = [distance(self._space, wanted, each) for each in points]
        nearest = [each for each, steps in zip(points, far, strict=True) if steps <= min(far)]
        return nearest[int(np.random.RandomState(seed % 2**32).randint(len(nearest)))]

    def _made(
        self, slot: int, values: Mapping[str, Value], runs: Mapping[str, Any], noted: Mapping[str, Any]
    ) -> Taken | None:
        """A trial in a place, ours; None where another process was before us, there or with these values.

        Place, values and worker are written in the same instant in which the trial is made, and its number
        says who was first: optuna's `ask` could write them only afterwards.
        """
        optuna = load_optuna()
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(values),
            distributions=distributions(self._space),
            user_attrs={SLOT: slot, WORKER: self._me, SEEN: time.time(), **runs},
            system_attrs=dict(noted),
        )
        made = self._study._storage.create_new_trial(self._study._study_id, template_trial=template)
        asked = optuna.trial.Trial(self._study, made)
        earlier = living([each for each in self._trials() if each.number < asked.number])
        alike = {self._index(each) for each in earlier.values()}
        if slot in earlier or index_of(self._space, values) in alike:
            end_trial(self._study, asked.number, "FAIL")
            return None
        return Taken(self._study, asked, slot=slot, values=values, label=self.label)

    def _index(self, trial: Any) -> int:
        """The point that one of optuna's trials has."""
        return index_of(self._space, snapped(self._space, trial.params))

    def _record(self, trial: Any) -> Record:
        return Record(
            number=int(trial.number),
            slot=int(trial.user_attrs[SLOT]),
            state=state_of(trial),
            values=snapped(self._space, trial.params),
            figures=None if trial.values is None else tuple(trial.values),
            runs=runs_of(trial.user_attrs),
            end=trial.user_attrs.get(END),
        )

    def _bury_lost(self) -> None:
        for trial in self._trials():
            if state_of(trial) == RUNNING:
                began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
                seen = float(trial.user_attrs.get(SEEN, began))
                worker = trial.user_attrs.get(WORKER)
                if is_gone(worker, seen=seen, lost_after=self._lost_after):
                    end_trial(self._study, trial.number, "FAIL")


def _check_kind(study: Any, directions: Sequence[str], *, name: str, label: str) -> None:
    """Refuse a study with other figures, or with trials that are not ours."""
    there = [each.name.lower() for each in study.directions]
    strange = any(SLOT not in each.user_attrs for each in study.get_trials(deepcopy=False))
    if there != list(directions) or (strange and _ORIGIN not in study.user_attrs):
        raise InputRefused(
            f"the study {name!r} in {label} was made by something else", hints=["name another: --study NAME"]
        )


def _check_origin(study: Any, origin: Mapping[str, Any], *, name: str) -> None:
    """Write what the study is of, or refuse one that is of something else."""
    if _ORIGIN not in study.user_attrs:
        study.set_user_attr(_ORIGIN, origin)
    kept = study.user_attrs[_ORIGIN]
    for key in dict.fromkeys((*origin, *kept)):
        before, now = kept.get(key), origin.get(key)
        if before != now:
            raise WrongUse(
                f"the study {name!r} was begun with {key} {_said(before)}, not {_said(now)}",
                hints=["to go on with it, give the options as they were", "to begin another: --study NAME"],
            )


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
