"""One trial of a sweep: its seeds one after the other, until it is done or not worth going on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from prunecli.errors import GateNotMet, InputRefused, Interrupted, WorkFailed, WrongUse
from prunecli.progress import Progress
from prunecli.search.space import Value
from prunecli.search.stopping import (
    COMPARISON,
    LAYERS,
    SEMANTIC,
    SETTLED,
    THRESHOLD,
    Verdict,
    falls_behind,
    is_active,
    is_out_of_reach,
    is_rung,
    optimistic_estimate,
    trimmed_mean,
)
from prunecli.search.study import Study
from prunecli.search.trials import Record, Taken, TakenOver

Runs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed of a trial: accuracy (%) on the validation part, the costs, and which channels stayed."""

    accuracy: float
    macs: int
    params: int
    epochs: int
    channels: str


RunTrial = Callable[[Mapping[str, Value], int, Progress], Run]
"""From the values of a trial and a seed to its run."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What stops a trial early.

    `dense` is the validation accuracy of the network before pruning and `chance` that of one answer for all
    images. `max_drop` are the points that may be lost, looked at from seed `threshold_from` on. Only the
    `layers` that are named have a say.
    """

    seeds: int
    dense: float
    chance: float
    max_drop: float | None = None
    threshold_from: int = SETTLED + 1
    layers: Sequence[str] = LAYERS

    def verdict(self, taken: Taken, others: Sequence[Record]) -> Verdict | None:
        """Whether a trial with the runs that it has is stopped; None where it goes on, or is done."""
        if not taken.runs or len(taken.runs) >= self.seeds:
            return None
        looks: Mapping[str, Callable[[], Verdict | None]] = {
            SEMANTIC: lambda: self._senseless(taken, others),
            COMPARISON: lambda: self._behind(taken.runs, others),
            THRESHOLD: lambda: self._out_of_reach(taken.runs),
        }
        found = (look() for layer, look in looks.items() if layer in self.layers)
        return next((verdict for verdict in found if verdict is not None), None)

    def _senseless(self, taken: Taken, others: Sequence[Record]) -> Verdict | None:
        """Layer B: accuracy at chance, or the channels of an earlier trial by the same strategy."""
        accuracy = taken.runs[-1]["accuracy"]
        if accuracy <= self.chance:
            return Verdict(SEMANTIC, f"accuracy {accuracy:.2f} % is at chance ({self.chance:.2f} %)")
        channels, strategy = taken.runs[0]["channels"], taken.values["strategy"]
        for other in others:
            alike = other.runs and other.runs[0]["channels"] == channels
            if alike and other.number < taken.number and other.values["strategy"] == strategy:
                return Verdict(SEMANTIC, f"the same channels leave as in trial {other.number}")
        return None

    def _behind(self, runs: Runs, others: Sequence[Record]) -> Verdict | None:
        """Layer A: among the trials that cost no more, after as many seeds."""
        done = len(runs)
        if not is_rung(done):
            return None
        rivals = [other.runs[:done] for other in others if len(other.runs) >= done]
        figures = [mean_accuracy(each) for each in rivals if mean_macs(each) <= mean_macs(runs)]
        own = mean_accuracy(runs)
        if not falls_behind(own, figures):
            return None
        better = sum(figure > own for figure in figures)
        many = f"{better} of {len(figures)} trials that cost no more are"
        return Verdict(COMPARISON, f"{many} more accurate after {done} seed{'s'[: done > 1]}")

    def _out_of_reach(self, runs: Runs) -> Verdict | None:
        """Layer C: even if every seed that is left came up to the dense network."""
        if self.max_drop is None:
            return None
        history = [run["accuracy"] for run in runs]
        left, least = self.seeds - len(runs), self.dense - self.max_drop
        if not is_active(len(history), inner=self.seeds, settled=self.threshold_from - 1):
            return None
        if not is_out_of_reach(history, left=left, optimum=self.dense, threshold=least):
            return None
        estimate = optimistic_estimate(history, left=left, optimum=self.dense)
        return Verdict(THRESHOLD, f"at best {estimate:.2f} %, and {least:.2f} % are wanted")


@dataclass(frozen=True, kw_only=True)
class Trialling:
    """Works trials off; `run` does one seed of one, `first_seed` is that of the first."""

    study: Study
    rules: Rules
    run: RunTrial
    first_seed: int
    progress: Progress
    enough: Callable[[], bool]
    """Whether the time is up."""

    def work(self, taken: Taken) -> bool:
        """Go on with a trial until it is finished or stopped; False where it was left for want of time.

        An error of the work itself ends the trial as failed and passes through; what comes from outside, such
        as a signal, leaves it to whoever takes it next, and passes through as well. Raises TakenOver where
        another process has taken the trial for lost.
        """
        try:
            return self._worked(taken)
        except TakenOver:
            raise
        except (Interrupted, InputRefused):
            _leave(taken)
            raise
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            with suppress(TakenOver, WorkFailed):
                taken.fail({"reason": said})
            raise
        except BaseException:
            _leave(taken)
            raise

    def _worked(self, taken: Taken) -> bool:
        while len(taken.runs) < self.rules.seeds:
            verdict = self.rules.verdict(taken, self._others(taken))
            if verdict is None and self.enough():
                taken.release()
                return False
            verdict = verdict or self._one_seed(taken)
            if verdict is not None:
                saved = seconds_saved(taken.runs, seeds=self.rules.seeds)
                taken.stop({**asdict(verdict), "seconds_saved": saved})
                return True
        taken.finish((mean_accuracy(taken.runs), mean_macs(taken.runs)))
        return True

    def _one_seed(self, taken: Taken) -> Verdict | None:
        """One more run; a verdict where these values cannot be carried out."""
        start = time.perf_counter()

        def told(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
            with suppress(WorkFailed):  # the storage may answer again when the run is finished
                taken.alive()
            # What a trial remarks and each of its epochs would drown what the sweep says.
            if total and stage.split()[-1:] != ["epoch"]:
                self.progress(stage, done, total, figures or {})

        try:
            found = self.run(taken.values, self.first_seed + len(taken.runs), told)
        except (GateNotMet, WorkFailed, WrongUse) as error:
            return Verdict(SEMANTIC, error.message)
        taken.keep_run({**asdict(found), "seconds": time.perf_counter() - start})
        return None

    def _others(self, taken: Taken) -> list[Record]:
        return [each for each in self.study.records() if each.number != taken.number]


def mean_accuracy(runs: Runs) -> float:
    """The trimmed mean of the runs' accuracies."""
    return trimmed_mean([run["accuracy"] for run in runs])


def mean_macs(runs: Runs) -> float:
    """What the networks of the runs cost; seeds may differ where the channels of a layer do."""
    return fmean(run["macs"] for run in runs)


def seconds_saved(runs: Runs, *, seeds: int) -> float:
    """The seeds that were not run, at this trial's own mean seconds a seed; 0 where none was finished."""
    return (seeds - len(runs)) * fmean(run["seconds"] for run in runs) if runs else 0.0


def _leave(taken: Taken) -> None:
    """Give a trial back, as far as that can be done now."""
    with suppress(TakenOver, WorkFailed):
        taken.release()
