"""A trial of a study: what is known of it, and what the process does that has it in its hands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.search.requirement import load_optuna
from prunecli.search.space import Value
from prunecli.search.storages import storage_in_words
from prunecli.search.workers import SEEN_EVERY

COMPLETE, STOPPED, FAILED, RUNNING = "complete", "stopped", "failed", "running"
_STATES = {"COMPLETE": COMPLETE, "PRUNED": STOPPED, "FAIL": FAILED, "RUNNING": RUNNING, "WAITING": "waiting"}

SLOT, END, WORKER, SEEN = "slot", "end", "worker", "seen"
"""What is written on a trial: its place, what was said when it ended, who works on it and was seen when."""
_RUN = "run "


class TakenOver(Exception):
    """The trial is no longer in this process's hands: another process found it lost."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a study knows of a trial.

    `figures` are those it was finished with, `runs` its finished runs, `end` what was said when it was
    stopped or failed.
    """

    number: int
    slot: int
    state: str
    values: Mapping[str, Value]
    figures: tuple[float, ...] | None
    runs: tuple[Mapping[str, Any], ...]
    end: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether nobody works on it any more."""
        return self.state in {COMPLETE, STOPPED, FAILED}


class Taken:
    """A trial in this process's hands; what changes it raises `TakenOver` where it is no longer so."""

    def __init__(self, study: Any, asked: Any, *, slot: int, values: Mapping[str, Value], label: str) -> None:
        self._study = study
        self._asked = asked
        self._label = label
        self._told = time.monotonic()
        self.number = int(asked.number)
        self.slot = slot
        self.values = values
        self.runs: list[Mapping[str, Any]] = list(runs_of(asked.user_attrs))

    def keep_run(self, run: Mapping[str, Any]) -> None:
        """Keep a finished run, JSON values by name."""
        self._note(f"{_RUN}{len(self.runs)}", dict(run))
        self._note(SEEN, time.time())
        self.runs.append(run)

    def alive(self) -> None:
        """Say, once a minute at most, that the work goes on."""
        if time.monotonic() - self._told >= SEEN_EVERY:
            self._told = time.monotonic()
            self._note(SEEN, time.time())

    def finish(self, figures: Sequence[float]) -> None:
        """All is done; a figure for each direction of the study."""
        self._end("COMPLETE", figures)

    def stop(self, end: Mapping[str, Any]) -> None:
        """It is not worth going on with; `end`, JSON values, says why."""
        self._note(END, dict(end))
        self._end("PRUNED")

    def fail(self, end: Mapping[str, Any]) -> None:
        """It broke down, and would again; `end`, JSON values, says how."""
        self._note(END, dict(end))
        self._end("FAIL")

    def release(self) -> None:
        """Leave it, with the runs that are finished, to whoever takes a trial next."""
        self._end("FAIL")

    def _note(self, key: str, value: Any) -> None:
        try:
            with storage_in_words(self._label):
                self._asked.set_user_attr(key, value)
        except RuntimeError as error:  # a trial that has ended cannot be written on
            raise TakenOver from error

    def _end(self, state: str, figures: Sequence[float] | None = None) -> None:
        with storage_in_words(self._label):
            if not end_trial(self._study, self.number, state, figures):
                raise TakenOver


def end_trial(study: Any, number: int, state: str, figures: Sequence[float] | None = None) -> bool:
    """End a trial of optuna's `study`; False where it was ended before."""
    optuna = load_optuna()
    try:
        study.tell(number, values=figures, state=optuna.trial.TrialState[state])
    except (ValueError, RuntimeError):
        return False
    return True


def living(trials: Sequence[Any]) -> dict[int, Any]:
    """Place → the first of optuna's trials there that is not dead."""
    found: dict[int, Any] = {}
    for trial in sorted(trials, key=lambda each: each.number):
        dead = state_of(trial) == FAILED and END not in trial.user_attrs
        slot = trial.user_attrs.get(SLOT)
        if slot is not None and not dead:
            found.setdefault(int(slot), trial)
    return found


def state_of(trial: Any) -> str:
    """The state of one of optuna's trials, in our word."""
    return _STATES[trial.state.name]


def run_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a trial's attributes that hold its runs."""
    return {key: value for key, value in attributes.items() if key.startswith(_RUN)}


def runs_of(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The finished runs of a trial, in their order."""
    kept = run_attributes(attributes)
    return tuple(kept[f"{_RUN}{place}"] for place in range(len(kept)))
